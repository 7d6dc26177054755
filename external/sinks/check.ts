/** Dials a sink, as CREATE and CHECK EXTERNAL CONNECTION do. */
import { PgPierError } from '../../errors.ts';
import type { ProviderTarget } from '../provider.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { SinkReport } from './sink.ts';
import { openSink } from './sinks.ts';

/** For everything together. A client waits, and so does its transaction. */
const checkMilliseconds = 15_000;

/** A sink that fails is an answer; a cancel rejects, and so does one that is only to be dialled where the operator does not allow its place. */
export async function checkSink(
  target: ProviderTarget,
  { probe }: { readonly probe: boolean },
  settings: StorageSettings,
  signal: AbortSignal,
): Promise<SinkReport> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(checkMilliseconds)]);
  try {
    const sink = await openSink(target, settings);
    try {
      const description = await sink.describe({ signal: limited });
      return { kind: 'reached', description, ...(probe && { probe: await sink.probe({ signal: limited }) }) };
    } finally {
      await sink.close();
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof PgPierError)) throw error;
    // Not a matter of waiting until it can be reached.
    if (!probe && error.entry === 'locationNotAllowed') throw error;
    return { kind: 'failed', error: error.message };
  }
}
