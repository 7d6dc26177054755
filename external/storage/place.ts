/** Whether two targets are one place under different credentials: what a second set may be for, and what running work may take up. */
import type { StorageTarget } from '../../jobs/task.ts';
import { cleanPath, type ExternalUri, parseUri } from '../uri.ts';
import { requireStorage } from './storages.ts';

export function samePlace(a: Pick<StorageTarget, 'uri' | 'userfile'>, b: Pick<StorageTarget, 'uri' | 'userfile'>): boolean {
  const owners = a.userfile?.owner === b.userfile?.owner && a.userfile?.name === b.userfile?.name;
  return owners && placeOf(parseUri(a.uri)) === placeOf(parseUri(b.uri));
}

function placeOf(uri: ExternalUri): string {
  const parameters = Object.entries(requireStorage(uri.scheme).placeParameters?.(uri) ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([uri.scheme, uri.host, cleanPath(uri.path), parameters]);
}
