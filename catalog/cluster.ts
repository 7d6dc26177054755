/** Which cluster the catalog's role oids belong to: on another one the same numbers are other roles. */
import pg from 'pg';
import { PgPierError } from '../errors.ts';
import type { Service } from './service.ts';

/** Of the cluster behind the service login; undefined where it may not ask (some managed services). */
export async function systemIdentifier(service: Service): Promise<string | undefined> {
  try {
    const rows = await service.query<{ id: string }>('select system_identifier::pg_catalog.text as id from pg_catalog.pg_control_system()');
    return rows[0]!.id;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '42501') return undefined;
    throw error;
  }
}

/** Remembers the cluster, or throws `catalogOfAnotherCluster`. Where it cannot be told, the administrator's word has to do. */
export async function bindToCluster(catalog: pg.ClientBase, service: Service): Promise<void> {
  const found = await systemIdentifier(service);
  if (found === undefined) return;
  const { rows } = await catalog.query('select system_identifier::pg_catalog.text as id from pgpier.cluster for update');
  const stored: string | null = rows[0].id;
  if (stored === null) await catalog.query('update pgpier.cluster set system_identifier = $1', [found]);
  else if (stored !== found) throw new PgPierError('catalogOfAnotherCluster', { found: stored, expected: found });
}
