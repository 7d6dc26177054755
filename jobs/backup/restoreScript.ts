/** The psql script beside the files: with psql and zstd it restores the database that it is run in (docs/restore-by-hand.md). Pure. */
import { quoteIdentifier, quoteLiteral } from '../transfer/quoteLiteral.ts';
import type { BackedUpDatabase } from './manifest.ts';

type Scripted = Pick<
  BackedUpDatabase,
  'name' | 'encoding' | 'properties' | 'preData' | 'postData' | 'tables' | 'sequences' | 'largeObjects'
>;

/** Paths in the manifest begin with the database's folder, in which the script lies: `1/data/…` is `data/…` here. */
export function restoreScript({ name, encoding, properties, preData, postData, tables, sequences, largeObjects }: Scripted): string {
  const local = (path: string): string => path.slice(path.indexOf('/') + 1);
  const unpacked = (path: string): string => local(path).replace(/\.zst$/, '');
  const qualified = (each: { readonly schema: string; readonly name: string }): string =>
    `${quoteIdentifier(each.schema)}.${quoteIdentifier(each.name)}`;
  const copy = (to: string, path: string): string => `\\copy ${to} from program 'zstd -dcq ${local(path)}'`;
  const lines = [
    `-- Restores database ${JSON.stringify(name)} into the one that psql is connected to. Run it in this folder: psql -X -d new_database -f restore.psql`,
    '\\set ON_ERROR_STOP on',
    '\\set QUIET on',
    'set client_min_messages = warning;',
    "set lc_monetary = 'C';",
    `\\! zstd -dqf ${local(preData.path)} -o ${unpacked(preData.path)}`,
    `\\! zstd -dqf ${local(postData.path)} -o ${unpacked(postData.path)}`,
    `\\i ${unpacked(preData.path)}`,
    // pg_dump has set UTF8. Bytes of a SQL_ASCII database may be none, and stay as they are.
    ...(encoding === 'SQL_ASCII' ? ["set client_encoding = 'SQL_ASCII';"] : []),
    ...tables.flatMap((table) => {
      const { columns, files } = table;
      const list = columns.map(quoteIdentifier).join(', ');
      const to = `${qualified(table)}${list === '' ? '' : ` (${list})`}`;
      if (!/[\r\n]/.test(to)) return files.map(({ path }) => copy(to, path));
      // psql's \copy ends with the line: rows of a table with a line break in a name come by way of one without.
      const plain = columns.map((column, index) => `${quoteIdentifier(column)} as c${index + 1}`).join(', ');
      return files.flatMap(({ path }) => [
        `create temporary table pgpier_copy as select ${plain} from ${qualified(table)} with no data;`,
        copy('pg_temp.pgpier_copy', path),
        `insert into ${to} overriding system value select * from pg_temp.pgpier_copy;`,
        'drop table pg_temp.pgpier_copy;',
      ]);
    }),
    ...(largeObjects === undefined
      ? []
      : [
          'create temporary table pgpier_large_object (id oid, position bigint, data bytea);',
          ...largeObjects.files.map(({ path }) => copy('pg_temp.pgpier_large_object', path)),
          'select count(lo_create(id)) from (select distinct id from pg_temp.pgpier_large_object) l;',
          'select count(lo_put(id, position, data)) from (select * from pg_temp.pgpier_large_object order by id, position) l;',
        ]),
    ...sequences.map(
      (sequence) => `select pg_catalog.setval(${quoteLiteral(qualified(sequence))}, ${sequence.lastValue}, ${sequence.isCalled});`,
    ),
    `\\i ${unpacked(postData.path)}`,
    'analyze;',
    ...(properties.length === 0
      ? []
      : [
          '-- The database itself; the name may be another one now:',
          // Not only \n ends a comment of psql's.
          ...properties.map((property) => `-- ${property.replaceAll(/[\r\n]/g, ' ')}`),
        ]),
    '\\echo restored',
  ];
  return `${lines.join('\n')}\n`;
}
