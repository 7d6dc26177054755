/** What is cleaned up now and then: pending changes whose transactions ended, and the rights of roles that are gone. */

import type { Log } from './catalog.ts';
import { systemIdentifier } from './cluster.ts';
import type { Service } from './service.ts';
import { outcomesOf, type Queryable, settle } from './settle.ts';

export async function sweep(catalog: Queryable, service: Service, log: Log): Promise<void> {
  await settle(catalog, await outcomesOf(catalog, service, log), log);
  await removeGrantsOfDroppedRoles(catalog, service, log);
}

/** Such rights are invisible already; they are removed so that they cannot come back should PostgreSQL ever use the oid again. */
async function removeGrantsOfDroppedRoles(catalog: Queryable, service: Service, log: Log): Promise<void> {
  const { rows } = await catalog.query('select distinct grantee from pgpier.privilege where grantee <> 0');
  if (rows.length === 0) return;
  const grantees: number[] = rows.map((row) => row.grantee);
  const present = await service.query<{ oid: number }>('select r.oid from pg_catalog.pg_roles r where r.oid = any($1::pg_catalog.oid[])', [
    grantees,
  ]);
  if (!(await sameCluster(catalog, service, log))) return;
  const known = new Set(present.map(({ oid }) => oid));
  const dropped = grantees.filter((oid) => !known.has(oid));
  if (dropped.length === 0) return;
  const removed = await catalog.query('delete from pgpier.privilege where grantee = any($1::pg_catalog.oid[])', [dropped]);
  log.info({ roles: dropped, rows: removed.rowCount }, 'removed the rights of dropped roles');
}

/** The service's address may by now lead to another cluster, where none of these roles exists: nothing is taken from anybody then. */
async function sameCluster(catalog: Queryable, service: Service, log: Log): Promise<boolean> {
  const { rows } = await catalog.query('select system_identifier::pg_catalog.text as id from pgpier.cluster');
  const [stored, found] = [rows[0]?.id as string | null, await systemIdentifier(service)];
  if (stored === null || found === undefined || stored === found) return true;
  log.error({ stored, found }, 'the service login leads to another cluster than the one whose roles the catalog knows');
  return false;
}
