/** Name and URI of CREATE and ALTER EXTERNAL CONNECTION: what is checked before they are kept (spec: §1.2, §1.3). */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { redactUri } from '../external/redact.ts';
import { findStorage, type StorageProvider } from '../external/storage/storages.ts';
import { type ExternalUri, parseUri } from '../external/uri.ts';
import { requireImplicitAccess, targetOfAsker } from '../jobs/destination.ts';
import type { CommandContext } from './command.ts';

/** Of its UTF-8 form. Longer ones do not fit an index, and nobody writes them in a URI. */
const longestName = 1024;

/** Throws `connectionNameInvalid`. */
export function checkName(name: string): void {
  if (name === '') throw new PgPierError('connectionNameInvalid', { reason: 'the name must not be empty' });
  if (Buffer.byteLength(name) > longestName)
    throw new PgPierError('connectionNameInvalid', { reason: `the name is longer than ${longestName} bytes` });
}

/** What cannot be redacted is not taken: it could not be shown either. */
export function readUri(text: string): ExternalUri {
  try {
    const uri = parseUri(text);
    redactUri(text);
    return uri;
  } catch (error) {
    if (error instanceof PgPierError) throw new PgPierError('connectionUriUnreadable', { reason: error.message });
    throw error;
  }
}

/** Throws `connectionSchemeUnknown`, `connectionRejected`, `implicitAccessDenied`. */
export async function checkUri(catalog: CatalogTransaction, uri: ExternalUri): Promise<StorageProvider> {
  const provider = findStorage(uri.scheme);
  if (provider === undefined) throw new PgPierError('connectionSchemeUnknown', { scheme: uri.scheme });
  try {
    provider.validate(uri);
  } catch (error) {
    throw rejected(provider, error);
  }
  if (provider.usesAmbientCredentials(uri)) await requireImplicitAccess(catalog, provider.word);
  return provider;
}

/** Goes outside, in a worker: writes, lists and reads the marker file. Throws `connectionRejected` with the cause's SQLSTATE. */
export async function checkLive(context: CommandContext, provider: StorageProvider, uri: ExternalUri): Promise<void> {
  const target = await targetOfAsker(context.catalog, uri);
  try {
    await context.workers.run({ kind: 'checkStorage', target }, { signal: context.signal, onNotice: (notice) => context.notice(notice) });
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    throw rejected(provider, error);
  }
}

/** The cause in CockroachDB's frame. What says nothing about the location (workers busy, shutdown) stays as it is. */
function rejected(provider: StorageProvider, error: unknown): unknown {
  if (!(error instanceof PgPierError) || ['57P01', '53000', 'XX000'].includes(error.data.sqlstate)) return error;
  const framed = new PgPierError('connectionRejected', { provider: provider.word, cause: error.message });
  return PgPierError.from({ ...error.data, message: framed.message });
}
