/** SHOW BACKUP [SCHEMAS] FROM … IN …: what a backup holds, an object a row. */
import type { ShownObject } from '../jobs/task.ts';
import type { Column, Value } from '../protocol/values.ts';
import type { StatementOf } from '../statement/statement.ts';
import type { Command } from './command.ts';
import { collectionOf, recorded, useOf } from './outside.ts';
import { destinationPrivilege } from './showBackups.ts';

type ShowBackup = StatementOf<'showBackup'>;

const manifestColumns: readonly Column[] = [{ name: 'manifest', type: 'jsonb' }];

/** CockroachDB's, in its order (spec: §4.3). */
const objectColumns: readonly Column[] = [
  { name: 'database_name', type: 'text' },
  { name: 'parent_schema_name', type: 'text' },
  { name: 'object_name', type: 'text' },
  { name: 'object_type', type: 'text' },
  { name: 'backup_type', type: 'text' },
  { name: 'start_time', type: 'timestamptz' },
  { name: 'end_time', type: 'timestamptz' },
  { name: 'size_bytes', type: 'int8' },
  { name: 'rows', type: 'int8' },
  { name: 'is_full_cluster', type: 'bool' },
  { name: 'regions', type: 'text' },
];

function columnsOf({ asJson, schemas, privileges, checkFiles }: ShowBackup): readonly Column[] {
  if (asJson) return manifestColumns;
  const text = (...names: string[]): Column[] => names.map((name) => ({ name, type: 'text' }));
  return [
    ...objectColumns,
    ...(schemas ? text('create_statement') : []),
    ...(privileges ? text('privileges', 'owner') : []),
    ...(checkFiles ? [{ name: 'file_bytes', type: 'int8' } as const] : []),
  ];
}

/** `time`: the moment whose data the backup holds. A full backup has no start: it holds all that was before. */
function rowOf(object: ShownObject, time: Date, { schemas, privileges, checkFiles, skipSize }: ShowBackup): readonly Value[] {
  const { database, schema, name, type } = object;
  const hasSize = type === 'table' && !skipSize;
  return [
    type === 'database' ? null : database,
    schema === '' ? null : schema,
    name,
    type,
    'full',
    null,
    time,
    hasSize ? object.bytes : null,
    hasSize ? object.rows : null,
    false,
    null,
    ...(schemas ? [object.createStatement ?? null] : []),
    ...(privileges ? [object.privileges ?? null, object.owner ?? null] : []),
    ...(checkFiles ? [object.fileBytes ?? null] : []),
  ];
}

export const showBackup: Command<'showBackup'> = {
  kind: 'showBackup',
  statement: 'SHOW BACKUP',
  columns: columnsOf,
  privilege: destinationPrivilege,
  nature: 'read',
  async run(context, statement) {
    const { from, uri, asJson, schemas, privileges, checkFiles } = statement;
    const choice = from.kind === 'latest' ? from : { kind: from.kind, path: context.text(from.path) };
    const { target, resolve } = await collectionOf(context, context.text(uri), 'SHOW BACKUP');
    const show = asJson ? ({ kind: 'json' } as const) : ({ kind: 'objects', createStatements: schemas, privileges } as const);
    const shown = await recorded(context, useOf('SHOW BACKUP', target), (options) =>
      context.workers.run({ kind: 'showBackup', target, choice, checkFiles, show }, { ...options, resolve }),
    );
    if (shown.kind === 'json') return { rows: [[shown.manifest]], tag: 'SHOW' };
    const time = new Date(shown.time);
    return { rows: shown.objects.map((object) => rowOf(object, time, statement)), tag: 'SHOW' };
  },
};
