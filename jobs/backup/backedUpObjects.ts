/** What SHOW BACKUP lists of a database: from pg_dump's entries, so that a statement stands beside its object. Pure. */
import type { DumpEntry } from '../dump/readDump.ts';
import type { BackedUpObject, BackedUpTable } from './manifest.ts';

const kinds: Readonly<Record<string, BackedUpObject['type']>> = {
  SCHEMA: 'schema',
  TABLE: 'table',
  VIEW: 'table',
  'MATERIALIZED VIEW': 'table',
  SEQUENCE: 'table',
  'FOREIGN TABLE': 'table',
  TYPE: 'type',
  DOMAIN: 'type',
  FUNCTION: 'function',
  PROCEDURE: 'function',
  AGGREGATE: 'function',
};

export type Access = ReadonlyMap<string, { readonly owner: string; readonly privileges?: readonly string[] }>;

export function backedUpObjects(
  database: { readonly name: string; readonly owner: string; readonly privileges?: readonly string[] },
  entries: readonly DumpEntry[],
  tables: readonly BackedUpTable[],
  access: Access,
): BackedUpObject[] {
  const sizes = new Map(
    tables.map(({ schema, name, rows, files }) => [
      JSON.stringify([schema, name]),
      { rows, bytes: files.reduce((sum, { rawBytes }) => sum + rawBytes, 0) },
    ]),
  );
  const objects: BackedUpObject[] = [];
  const add = (type: BackedUpObject['type'], schema: string, name: string, entry?: DumpEntry): void => {
    const found = access.get(JSON.stringify([type, schema, name]));
    const size = (type === 'table' && sizes.get(JSON.stringify([schema, name]))) || { rows: 0, bytes: 0 };
    objects.push({
      schema,
      name,
      type,
      owner: found?.owner ?? entry?.owner ?? database.owner,
      ...(found?.privileges === undefined ? {} : { privileges: found.privileges }),
      ...(entry === undefined || entry.statements.length === 0 ? {} : { createStatement: `${entry.statements.join(';\n')};` }),
      ...size,
    });
  };
  for (const entry of entries) {
    const type = kinds[entry.type];
    if (type !== undefined) add(type, type === 'schema' ? '' : (entry.schema ?? ''), entry.name, entry);
  }
  // The schema public is nobody's entry where it is as initdb made it.
  const isThere = (schema: string): boolean => objects.some(({ type, name }) => type === 'schema' && name === schema);
  for (const schema of new Set(objects.filter(({ type }) => type === 'table').map(({ schema }) => schema)))
    if (!isThere(schema)) add('schema', '', schema);
  const order: readonly BackedUpObject['type'][] = ['database', 'schema', 'type', 'table', 'function'];
  const { name, owner, privileges } = database;
  const self: BackedUpObject = {
    schema: '',
    name,
    type: 'database',
    owner,
    ...(privileges === undefined ? {} : { privileges }),
    rows: 0,
    bytes: 0,
  };
  return [self, ...objects.sort((a, b) => order.indexOf(a.type) - order.indexOf(b.type))];
}
