/** Files of userfile://, as the catalog knows them: whose a name is, and what is to be cleaned up. The files themselves are `external/storage/userfile.ts`. */
import { abandonDeadWriters, purgeable, purgeFile, type Run } from '../external/storage/userfilePurge.ts';
import type { Log } from './catalog.ts';
import type { Service } from './service.ts';
import type { Queryable } from './settle.ts';
import type { Store } from './transaction.ts';

/** Owner of the files of a dropped role: nobody's oid. */
export const nobodysOid = 0;

/** What one sweep takes at most; the next one goes on. */
const SWEEP_MS = 5_000;
const SWEEP_FILES = 1_000;

export class Userfiles {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The role (oid, or `nobodysOid`) that was first to write under this qualified name; undefined if nobody has. */
  async ownerOf(name: string): Promise<number | undefined> {
    const text = `select p.owner from pgpier.userfile_prefix p where p.name = $1 and p.name <> ''`;
    const rows = await this.#store.readPlain<{ owner: number }>(text, [name]);
    return rows[0]?.owner;
  }
}

/** Removes what dead writers left, and what was deleted or replaced while somebody read it. */
export async function sweepUserfiles(catalog: Queryable): Promise<void> {
  const run: Run = (text, values) => catalog.query(text, values);
  await abandonDeadWriters(run);
  const until = performance.now() + SWEEP_MS;
  const mayGoOn = (): boolean => performance.now() < until;
  for (const id of await purgeable(run, SWEEP_FILES)) {
    if (!mayGoOn()) return;
    await purgeFile(run, id, mayGoOn);
  }
}

/** Roles that have files. */
export async function userfileOwners(catalog: Queryable): Promise<readonly number[]> {
  const { rows } = await catalog.query(`select distinct p.owner from pgpier.userfile_prefix p where p.owner <> ${nobodysOid}`);
  return rows.map(({ owner }) => owner as number);
}

/**
 * Files may be backups, and DROP ROLE must not cost anybody a backup: they stay, for admins alone, under a name that no role can come to own should
 * PostgreSQL ever use the oid again.
 */
export async function keepFilesOfDroppedRoles(catalog: Queryable, dropped: readonly number[], log: Log): Promise<void> {
  if (dropped.length === 0) return;
  await catalog.query(
    `delete from pgpier.userfile_prefix p where p.owner = any($1::pg_catalog.oid[])
       and not exists (select from pgpier.userfile f where f.prefix_id = p.prefix_id)`,
    [dropped],
  );
  const { rows } = await catalog.query(
    `update pgpier.userfile_prefix p set owner = ${nobodysOid},
       name = case p.name when '' then 'pgpier.dropped.' || p.owner::pg_catalog.text || '_' || p.prefix_id::pg_catalog.text else p.name end
     from (select o.prefix_id, o.owner from pgpier.userfile_prefix o where o.owner = any($1::pg_catalog.oid[]) for update) old
     where p.prefix_id = old.prefix_id returning old.owner, p.name`,
    [dropped],
  );
  for (const { owner, name } of rows)
    log.info({ role: owner, place: `userfile://${name}/` }, 'files of a dropped role are kept for admins');
}

/** Which of these oids are no role any more. */
export async function withoutRole(service: Service, oids: readonly number[]): Promise<readonly number[]> {
  if (oids.length === 0) return [];
  const present = await service.query<{ oid: number }>('select r.oid from pg_catalog.pg_roles r where r.oid = any($1::pg_catalog.oid[])', [
    oids,
  ]);
  const known = new Set(present.map(({ oid }) => oid));
  return oids.filter((oid) => !known.has(oid));
}
