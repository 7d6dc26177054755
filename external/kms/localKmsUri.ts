/** What a `local-kms://` URI says: the name of a key file in the operator's directory. Pure. */
import { PgPierError } from '../../errors.ts';
import { takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

/** @returns the name of the file; @throws PgPierError 22023, and 42501 where the operator named no directory */
export function parseLocalKmsUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'kmsDir'>): string {
  takeParameters(uri, 'KMS', []);
  if (uri.host !== '' || uri.userinfo !== undefined)
    throw new PgPierError('localKmsUri', { reason: 'it has no host: local-kms:///NAME, with three slashes' });
  const name = uri.path.replace(/^\//, '');
  if (name === '') throw new PgPierError('kmsKeyMissing');
  // One plain file name: no folders, no `..`, nothing hidden.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(name))
    throw new PgPierError('localKmsUri', {
      reason: 'the name of a key has up to 128 letters, digits, "_", "-" and ".", and begins with none of the last two',
    });
  if (settings && settings.kmsDir === undefined) throw new PgPierError('localKmsOff');
  return name;
}
