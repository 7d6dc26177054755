/** Large objects: their bytes as COPY text of (oid, offset, bytes), and what else belongs to them as statements behind the data. */
import type { DumpEntry } from '../dump/readDump.ts';
import { quoteIdentifier, quoteLiteral } from '../transfer/quoteLiteral.ts';
import { enterSnapshot, openAsAsker } from './backupSession.ts';
import { type CopyTarget, copyToFiles } from './copyTables.ts';
import type { Leader } from './leader.ts';
import type { BackedUpDatabase } from './manifest.ts';

/** A superuser reads the pages as they lie; others by the functions that ask for rights. An empty object is one row without bytes. */
const pages = `copy (select m.oid, coalesce(p.pageno, 0)::int8 * 2048, coalesce(p.data, '') from pg_largeobject_metadata m
  left join pg_largeobject p on p.loid = m.oid order by 1, 2) to stdout`;
const pieces = `copy (select m.oid, at, lo_get(m.oid, at, 262144) from pg_largeobject_metadata m, lateral (select lo_lseek64(lo_open(m.oid, 262144), 0, 2) as size offset 0) s,
  lateral generate_series(0::int8, greatest(s.size - 1, 0), 262144) as at order by 1, 2) to stdout`;

export async function copyLargeObjects(leader: Leader, target: CopyTarget): Promise<BackedUpDatabase['largeObjects']> {
  const { rows } = await leader.session.query(
    `select count(*)::int4 as count, (select rolsuper from pg_roles where rolname = current_user) as super from pg_largeobject_metadata`,
  );
  if (rows[0].count === 0) return undefined;
  const session = await openAsAsker(leader.access, target.signal);
  try {
    await enterSnapshot(session, leader.snapshot);
    const silent = { ...target, onCopied: () => {} };
    const files = await copyToFiles(
      session,
      rows[0].super ? pages : pieces,
      (file) => `${target.prefix}/large-objects-${file + 1}.copy.zst`,
      silent,
    );
    await session.close();
    return { count: rows[0].count, files };
  } catch (error) {
    session.abandon();
    throw error;
  }
}

/** Owner, comment and privileges of each, in the words of pg_dump. */
export async function largeObjectEntries(leader: Leader): Promise<DumpEntry[]> {
  const { rows } = await leader.session.query(
    `select m.oid::text, pg_get_userbyid(m.lomowner)::text as owner, obj_description(m.oid, 'pg_largeobject') as comment,
        array(select json_build_object('grantee', case a.grantee when 0 then null else pg_get_userbyid(a.grantee) end, 'right', a.privilege_type, 'option', a.is_grantable)
          from aclexplode(m.lomacl) a where a.grantee <> m.lomowner) as rights
      from pg_largeobject_metadata m order by m.oid`,
  );
  return rows.flatMap(({ oid, owner, comment, rights }): DumpEntry[] => {
    const entry = (type: string, statements: string[]): DumpEntry[] =>
      statements.length === 0 ? [] : [{ name: `LARGE OBJECT ${oid}`, type, owner, context: [], statements }];
    const to = (grantee: string | null): string => (grantee === null ? 'PUBLIC' : quoteIdentifier(grantee));
    return [
      ...entry('BLOB METADATA', [`ALTER LARGE OBJECT ${oid} OWNER TO ${quoteIdentifier(owner)}`]),
      ...entry('COMMENT', comment === null ? [] : [`COMMENT ON LARGE OBJECT ${oid} IS ${quoteLiteral(comment)}`]),
      ...entry(
        'ACL',
        (rights as { grantee: string | null; right: string; option: boolean }[]).map(
          ({ grantee, right, option }) => `GRANT ${right} ON LARGE OBJECT ${oid} TO ${to(grantee)}${option ? ' WITH GRANT OPTION' : ''}`,
        ),
      ),
    ];
  });
}
