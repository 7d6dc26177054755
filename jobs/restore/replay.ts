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
      for (const { text, purpose } of entry.statements) if (purpose !== 'setting') await session.asAsker(text);
    } catch (error) {
      throw about(shown(entry), error);
    }
  }
}

/** The table that an index or key is of; as JSON of schema and name. */
export function tableOf({ statements }: SchemaEntry): string {
  const { schemaname = '', relname = '' } = (statements[0]?.tree.relation ?? {}) as { schemaname?: string; relname?: string };
  return JSON.stringify([schemaname, relname]);
}
