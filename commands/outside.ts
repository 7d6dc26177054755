/** What a statement does outside through workers: it follows its connection while it works, and its use of the connection is recorded. */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { Outcome, Transferred } from '../catalog/connectionUse.ts';
import { PgPierError, toErrorData } from '../errors.ts';
import type { ProviderTarget } from '../external/provider.ts';
import { resolveCollection, resolveStorage } from '../jobs/destination.ts';
import type { StorageTarget, TaskOptions } from '../jobs/task.ts';
import type { CommandContext } from './command.ts';

/** A statement that used a connection, in its own words, and the connection; without one nothing is recorded. */
export interface Use {
  readonly statement: string;
  readonly connection: { readonly name: string; readonly id?: string; readonly owner?: number } | undefined;
}

/** Where a task goes, and what it asks about that while it runs. */
export interface Followed {
  readonly target: StorageTarget;
  readonly resolve: () => Promise<StorageTarget>;
}

export function storageOf(context: CommandContext, uri: string): Promise<Followed> {
  return follow(context, (catalog) => resolveStorage({ catalog }, uri));
}

/** A storage that can tell what it holds. */
export function collectionOf(context: CommandContext, uri: string, statement: string): Promise<Followed> {
  return follow(context, (catalog) => resolveCollection({ catalog }, uri, statement));
}

async function follow(context: CommandContext, find: (catalog: CatalogTransaction) => Promise<StorageTarget>): Promise<Followed> {
  return { target: await find(context.catalog), resolve: () => context.apart(find) };
}

/**
 * @param work is given options for tasks that tell what they moved
 * @param outcomeOf of work that does not reject where it failed
 */
export async function recorded<T>(
  context: CommandContext,
  { statement, connection }: Use,
  work: (options: TaskOptions) => Promise<T>,
  outcomeOf: (result: T) => Outcome = () => 'succeeded',
): Promise<T> {
  const { signal } = context;
  let transferred: Transferred | undefined;
  const options: TaskOptions = {
    signal,
    onNotice: (notice) => context.notice(notice),
    onTransferred(each) {
      const sum = transferred ?? { written: 0, read: 0 };
      transferred = { ...each, written: sum.written + each.written, read: sum.read + each.read };
    },
  };
  if (connection === undefined) return work(options);
  const role = await context.catalog.roles.asker();
  const use = await context.uses.begin({ connection, role, statement });
  try {
    const result = await work(options);
    await use.end({ outcome: outcomeOf(result), transferred });
    return result;
  } catch (error) {
    const told = signal.aborted && signal.reason instanceof PgPierError ? signal.reason : error;
    await use.end({ outcome: signal.aborted ? 'canceled' : 'failed', sqlstate: toErrorData(told).sqlstate, transferred });
    throw error;
  }
}

/** What a connection's target is recorded by. */
export function useOf(statement: string, { connection }: ProviderTarget): Use {
  return { statement, connection };
}
