/** Name and URI of CREATE and ALTER EXTERNAL CONNECTION: what is checked before they are kept (spec: §1.2, §1.3). */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { type ConnectionProvider, findProvider } from '../external/providers.ts';
import { redactUri } from '../external/redact.ts';
import { type ExternalUri, parseUri } from '../external/uri.ts';
import { requireImplicitAccess, targetOfAsker } from '../jobs/destination.ts';
import type { CommandContext, Notice } from './command.ts';
import { recorded, type Use } from './outside.ts';

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

/** Throws `connectionSchemeUnknown`, `connectionRejected`, `sinkRejected`, `implicitAccessDenied`. */
export async function checkUri(catalog: CatalogTransaction, uri: ExternalUri): Promise<ConnectionProvider> {
  const found = findProvider(uri.scheme);
  if (found === undefined) throw new PgPierError('connectionSchemeUnknown', { scheme: uri.scheme });
  const { provider } = found;
  try {
    provider.validate(uri);
  } catch (error) {
    throw rejected(found, error);
  }
  if (provider.usesAmbientCredentials(uri)) await requireImplicitAccess(catalog, provider.word);
  return found;
}

/**
 * Goes outside, in a worker: a storage is written, listed and read, a key encrypts and decrypts. Throws `connectionRejected` with the cause's SQLSTATE.
 * A sink is dialled, and one that cannot be reached is a WARNING: it may be there when the changefeed is (in CockroachDB nobody dials).
 */
export async function checkLive(context: CommandContext, use: Use, found: ConnectionProvider, uri: ExternalUri): Promise<void> {
  const target = await targetOfAsker(context.catalog, uri);
  try {
    await recorded(context, use, async (options) => {
      if (found.kind === 'storage') await context.workers.run({ kind: 'checkStorage', target }, options);
      else if (found.kind === 'keyService') await context.workers.run({ kind: 'checkKeyService', target }, options);
      else {
        const report = await context.workers.run({ kind: 'checkSink', target }, options);
        if (report.kind === 'failed') context.notice(unreachable(report.error));
      }
    });
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    throw rejected(found, error);
  }
}

const unreachable = (reason: string): Notice => ({
  severity: 'WARNING',
  sqlstate: '01000',
  message: `the sink does not answer as it should: ${reason}`,
  hint: 'The connection is kept all the same. CHECK EXTERNAL CONNECTION tries again, and sends a message.',
});

/** The cause in CockroachDB's frame. What says nothing about the location (workers busy, shutdown) stays as it is. */
function rejected({ kind, provider }: ConnectionProvider, error: unknown): unknown {
  if (!(error instanceof PgPierError) || ['57P01', '53000', 'XX000'].includes(error.data.sqlstate)) return error;
  const framed =
    kind === 'sink'
      ? new PgPierError('sinkRejected', { cause: error.message })
      : new PgPierError('connectionRejected', { provider: provider.word, cause: error.message });
  return PgPierError.from({ ...error.data, message: framed.message });
}
