/** The rule for paths inside a storage (storage.ts), in one place for all providers. */
import { PgPierError } from '../../errors.ts';

/** @throws PgPierError 22023 */
export function checkObjectPath(path: string): string {
  for (const segment of path.split('/')) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    if (segment === '' || segment === '.' || segment === '..' || /[\x00-\x1f\x7f]/.test(segment)) {
      throw new PgPierError('storagePathInvalid', { path: JSON.stringify(path) });
    }
  }
  return path;
}
