/** What a `nodelocal://` URI says. Pure. */
import { PgPierError } from '../../errors.ts';
import { cleanPath, type ExternalUri, escapesRoot } from '../uri.ts';
import { takeParameters } from './parameters.ts';
import type { StorageSettings } from './storage.ts';

export interface NodelocalUri {
  /** Folders below the external directory, each a plain name. */
  readonly segments: readonly string[];
}

/** @throws PgPierError with CockroachDB's words; 0A000 for another node's number. */
export function parseNodelocalUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'externalDir' | 'nodeId'>): NodelocalUri {
  takeParameters(uri, 'nodelocal', []);
  if (uri.host === '') throw new PgPierError('nodelocalHostEmpty', { path: uri.path });
  if (uri.host !== 'self' && !/^\d{1,10}$/.test(uri.host))
    throw new PgPierError('nodelocalHostInvalid', { host: uri.host, path: uri.path });
  if (uri.path.includes('\0')) throw new PgPierError('storagePathInvalid', { path: JSON.stringify(uri.path) });
  if (escapesRoot(uri.path)) throw new PgPierError('nodelocalOutside', { path: uri.path });
  if (settings !== undefined) {
    if (settings.externalDir === undefined) throw new PgPierError('nodelocalDisabled');
    if (uri.host !== 'self' && Number(uri.host) !== settings.nodeId)
      throw new PgPierError('nodelocalOtherNode', { node: Number(uri.host) });
  }
  return { segments: cleanPath(uri.path).split('/').filter(Boolean) };
}
