/** What is cleaned up now and then: pending changes whose transactions ended, the rights of roles that are gone, what is left of files, old uses of connections. */

import type { Log } from './catalog.ts';
import { systemIdentifier } from './cluster.ts';
import { defaultRetentionDays, forgetOldUses } from './connectionUse.ts';
import type { Service } from './service.ts';
import { outcomesOf, type Queryable, settle } from './settle.ts';
import { keepFilesOfDroppedRoles, sweepUserfiles, userfileOwners, withoutRole } from './userfiles.ts';

export async function sweep(catalog: Queryable, service: Service, log: Log, usageRetentionDays = defaultRetentionDays): Promise<void> {
  await settle(catalog, await outcomesOf(catalog, service, log), log);
  await removeGrantsOfDroppedRoles(catalog, service, log);
  const ownerless = await withoutRole(service, await userfileOwners(catalog));
  if (ownerless.length > 0 && (await sameCluster(catalog, service, log))) await keepFilesOfDroppedRoles(catalog, ownerless, log);
  await sweepUserfiles(catalog);
  await forgetOldUses(catalog, usageRetentionDays);
}

/** Such rights are invisible already; they are removed so that they cannot come back should PostgreSQL ever use the oid again. */
async function removeGrantsOfDroppedRoles(catalog: Queryable, service: Service, log: Log): Promise<void> {
  const { rows } = await catalog.query('select distinct grantee from pgpier.privilege where grantee <> 0');
  if (rows.length === 0) return;
  const grantees: number[] = rows.map((row) => row.grantee);
  const dropped = await withoutRole(service, grantees);
  if (dropped.length === 0 || !(await sameCluster(catalog, service, log))) return;
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
