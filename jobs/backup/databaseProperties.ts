/** What CREATE DATABASE needs, and what pg_dump leaves to `--create`: comment, settings and privileges of the database itself. */
import type { BackendSession } from '../backendLogin.ts';
import { quoteIdentifier, quoteLiteral } from '../transfer/quoteLiteral.ts';
import { readAclItem } from './aclItem.ts';
import type { BackedUpDatabase } from './manifest.ts';

export type DatabaseProperties = Pick<
  BackedUpDatabase,
  'name' | 'owner' | 'encoding' | 'localeProvider' | 'collate' | 'ctype' | 'locale' | 'icuRules' | 'connectionLimit' | 'properties'
> & { readonly privileges?: readonly string[] };

/** Settings whose value is a list of names, each quoted by itself (guc.h, GUC_LIST_QUOTE). */
const lists = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);
const providers: Readonly<Record<string, BackedUpDatabase['localeProvider']>> = { c: 'libc', i: 'icu', b: 'builtin' };
const words: Readonly<Record<string, string>> = { C: 'CREATE', c: 'CONNECT', T: 'TEMPORARY' };

export async function readProperties(session: BackendSession): Promise<DatabaseProperties> {
  // Columns differ by version (daticulocale became datlocale): the row is read as it is.
  const { rows } = await session.query(
    `select to_jsonb(d) as row, d.datname::text as name, pg_get_userbyid(d.datdba)::text as owner, pg_encoding_to_char(d.encoding)::text as encoding,
        d.datcollate::text as collate, d.datctype::text as ctype, d.datconnlimit as "connectionLimit", d.datacl::text[] as acl,
        shobj_description(d.oid, 'pg_database') as comment, (select s.setconfig from pg_db_role_setting s where s.setdatabase = d.oid and s.setrole = 0) as settings
      from pg_database d where d.datname = current_database()`,
  );
  const { row, acl, comment, settings, ...rest } = rows[0];
  const quoted = quoteIdentifier(rest.name);
  const locale: string | null = row.datlocale ?? row.daticulocale ?? null;
  const icuRules: string | null = row.daticurules ?? null;
  return {
    ...rest,
    localeProvider: providers[row.datlocprovider ?? 'c'] ?? 'libc',
    ...(locale === null ? {} : { locale }),
    ...(icuRules === null ? {} : { icuRules }),
    properties: [
      ...(comment === null ? [] : [`COMMENT ON DATABASE ${quoted} IS ${quoteLiteral(comment)};`]),
      ...((settings ?? []) as string[]).map((setting) => `ALTER DATABASE ${quoted} SET ${assignment(setting)};`),
      // Where there is a list, what PUBLIC may is what it says; a new database lets everybody in.
      ...(acl === null ? [] : [`REVOKE CONNECT, TEMPORARY ON DATABASE ${quoted} FROM PUBLIC;`]),
      ...((acl ?? []) as string[]).flatMap((item) => grants(item, quoted)),
    ],
    ...(acl === null ? {} : { privileges: acl }),
  };
}

/** `name=value` of pg_db_role_setting as the SET clause that makes it. */
function assignment(setting: string): string {
  const equals = setting.indexOf('=');
  const name = setting.slice(0, equals);
  const value = setting.slice(equals + 1);
  const quotedName = name.split('.').map(quoteIdentifier).join('.');
  if (!lists.has(name.toLowerCase())) return `${quotedName} TO ${quoteLiteral(value)}`;
  const items = [...value.matchAll(/"((?:[^"]|"")*)"|([^",\s][^",]*)/g)].map(
    ([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare!.trim(),
  );
  return `${quotedName} TO ${items.length === 0 ? "''" : items.map(quoteLiteral).join(', ')}`;
}

function grants(item: string, database: string): string[] {
  const acl = readAclItem(item);
  if (acl === undefined) return [];
  const grantee = acl.grantee === '' ? 'PUBLIC' : quoteIdentifier(acl.grantee);
  return acl.rights.flatMap(({ letter, grantOption }) =>
    words[letter] === undefined
      ? []
      : [`GRANT ${words[letter]} ON DATABASE ${database} TO ${grantee}${grantOption ? ' WITH GRANT OPTION' : ''};`],
  );
}
