/** Makes what the schema of a backup says, statement by statement. */
import type { RestoreSession } from './restoreSession.ts';
import { about } from './restoreSession.ts';
import type { SchemaEntry } from './schema.ts';

const shown = ({ type, schema, name }: SchemaEntry): string => `${type} ${schema === undefined ? '' : `${schema}.`}${name}`;

/** In order. @throws PgPierError of PostgreSQL, with the object's kind and name in front */
export async function replay(session: RestoreSession, entries: readonly SchemaEntry[]): Promise<void> {
  for (const entry of entries) {
    try {
      for (const { text } of entry.context) await session.query(text);
      for (const { text, purpose } of entry.statements) if (purpose !== 'setting') await session.query(text);
    } catch (error) {
      throw about(shown(entry), error);
    }
  }
}

/** Kinds that depend on their table alone, so that those of different tables may be made side by side. */
const independent: ReadonlySet<string> = new Set(['INDEX', 'CONSTRAINT']);
/** Where these come after the data, they stand on a key (GROUP BY) and indexes may stand on them. */
const ordering: ReadonlySet<string> = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'RULE']);

/** The post-data section over several sessions: first the indexes and keys, a table at a time in each; then the rest in order. */
export async function replayInParallel(sessions: readonly RestoreSession[], entries: readonly SchemaEntry[]): Promise<void> {
  const [first] = sessions;
  const alone = sessions.length < 2 || entries.some(({ type }) => ordering.has(type));
  if (alone) return replay(first!, entries);
  const tables = [
    ...Map.groupBy(
      entries.filter(({ type }) => independent.has(type)),
      tableOf,
    ).values(),
  ];
  const work = async (session: RestoreSession): Promise<void> => {
    for (let next = tables.shift(); next !== undefined; next = tables.shift()) await replay(session, next);
  };
  await allOrFirstError(sessions.map(work));
  await replay(
    first!,
    entries.filter(({ type }) => !independent.has(type)),
  );
}

function tableOf({ statements }: SchemaEntry): string {
  const relation = statements[0]?.tree.relation as { schemaname?: string; relname?: string } | undefined;
  return JSON.stringify([relation?.schemaname, relation?.relname]);
}

/** Waits for all, and throws what failed first: the others' sessions are still in use until they stop. */
export async function allOrFirstError(work: readonly Promise<void>[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    work.map((each) =>
      each.catch((error) => {
        failure ??= { error };
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
}
