/** What a `nodelocal://` URI says. Pure. */
import { PgPierError } from '../../errors.ts';
import { cleanPath, type ExternalUri, escapesRoot } from '../uri.ts';
import { takeParameters } from './parameters.ts';
import type { StorageSettings } from './storage.ts';

export interface NodelocalUri {
  /** `self`, or a node's number. */
  readonly host: string;
  /** Folders below the external directory, each a plain name. */
  readonly segments: readonly string[];
}

/** @throws PgPierError with CockroachDB's words; `nodeUnknown` for the number of a node that cannot be reached from here. */
export function parseNodelocalUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'externalDir' | 'nodeId' | 'peers'>): NodelocalUri {
  takeParameters(uri, 'nodelocal', []);
  if (uri.host === '') throw new PgPierError('nodelocalHostEmpty', { path: uri.path });
  if (uri.host !== 'self' && !/^\d{1,10}$/.test(uri.host))
    throw new PgPierError('nodelocalHostInvalid', { host: uri.host, path: uri.path });
  if (uri.path.includes('\0')) throw new PgPierError('storagePathInvalid', { path: JSON.stringify(uri.path) });
  if (escapesRoot(uri.path)) throw new PgPierError('nodelocalOutside', { path: uri.path });
  if (settings !== undefined) {
    const here = isHere(uri.host, settings);
    if (here && settings.externalDir === undefined) throw new PgPierError('nodelocalDisabled');
    if (!here && settings.peers?.[Number(uri.host)] === undefined) throw new PgPierError('nodeUnknown', { node: Number(uri.host) });
  }
  return {
    host: uri.host,
    segments: cleanPath(uri.path).split('/').filter(Boolean),
  };
}

/** Whether the files are those of the node that asks. */
export function isHere(host: string, { nodeId }: Pick<StorageSettings, 'nodeId'>): boolean {
  return host === 'self' || Number(host) === nodeId;
}
