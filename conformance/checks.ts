/** Every check, in the order in which they run. */
import type { Check } from './check.ts';
import { dump } from './checks/dump.ts';
import { pgbench } from './checks/pgbench.ts';
import { psql } from './checks/psql.ts';
import { regress } from './checks/regress.ts';
import { replication } from './checks/replication.ts';

export const checks: readonly Check[] = [psql, pgbench, dump, replication, regress];
