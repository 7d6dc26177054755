/** Password verifiers as PgPier's own login may read them at the backend: from pg_authid, which superusers and whoever was granted its columns can. */
import pg from 'pg';
import { PgPierError } from '../errors.ts';
import { readScramVerifier, type ScramVerifier } from '../protocol/scram/verifier.ts';
import type { Log } from './log.ts';
import type { Verifiers } from './login/listenerOptions.ts';

/** Logins come in bursts; what does not get a connection at once waits a few milliseconds. */
const CONNECTIONS = 2;
const TIMEOUT_MS = 10_000;

/** Qualified, operators included: no search_path and no startup parameter changes what it means. The cast cuts long names as a login does. */
const VERIFIER =
  'select a.rolpassword as verifier from pg_catalog.pg_authid a where a.rolname operator(pg_catalog.=) $1::pg_catalog.text::pg_catalog.name';
const MAY_READ = `select pg_catalog.has_column_privilege('pg_catalog.pg_authid'::pg_catalog.regclass, 'rolname', 'select')
   and pg_catalog.has_column_privilege('pg_catalog.pg_authid'::pg_catalog.regclass, 'rolpassword', 'select') as may`;

export class PasswordVerifiers implements Verifiers {
  readonly #pool: pg.Pool;
  readonly #log: Log;

  /** Connects when it is first asked. */
  constructor(service: pg.PoolConfig, log: Log) {
    this.#log = log;
    this.#pool = new pg.Pool({
      ...service,
      max: CONNECTIONS,
      idleTimeoutMillis: 60_000,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
      application_name: 'pgpier password verifiers',
    });
    this.#pool.on('error', (error) => log.debug({ reason: error.message }, 'an idle connection for password verifiers was lost'));
  }

  /** Whether PgPier's own role has the right to. Rejects where the backend does not answer. */
  async mayRead(): Promise<boolean> {
    const { rows } = await this.#pool.query<{ may: boolean }>(MAY_READ);
    return rows[0]!.may;
  }

  async read(role: string): Promise<ScramVerifier | undefined> {
    let text: string | null;
    try {
      const { rows } = await this.#pool.query<{ verifier: string | null }>(VERIFIER, [role]);
      text = rows[0]?.verifier ?? null;
    } catch (error) {
      this.#log.error({ reason: error instanceof Error ? error.message : String(error) }, 'password verifiers cannot be read');
      throw new PgPierError('verifierUnreadable', {}, { severity: 'FATAL' });
    }
    if (text === null) return undefined;
    const verifier = readScramVerifier(text);
    // Not for the client, which has not proven anything: it would learn which roles there are.
    if (!verifier)
      this.#log.warn({}, 'a role has no SCRAM verifier (an MD5 password): set its password anew with password_encryption = scram-sha-256');
    return verifier;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}
