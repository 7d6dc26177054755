/**
 * The short-lived login of a job (design: a job never runs under a login with more rights than the asker). A role `pgpier_job_…` that is a member
 * of the asking role alone, with a random password of which PostgreSQL and its log see the SCRAM verifier only. A query that leaves SET ROLE
 * lands in this role, which may do what the asker may and nothing else.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { JobLogins } from '../commands/command.ts';
import { PgPierError } from '../errors.ts';
import type { BackendLogin } from './task.ts';
import { quoteIdentifier, quoteLiteral } from './transfer/quoteLiteral.ts';

/** The service role's connection. Without `values` the text may hold several statements (simple query protocol). Rejects as pg does. */
export interface Service {
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
}

export interface JobLoginsOptions {
  readonly service: Service;
  /** Where workers reach the backend, and how; without database and user. */
  readonly backend: Pick<BackendLogin, 'host' | 'port' | 'sslmode' | 'sslrootcert'>;
  readonly log: { warn(fields: object, message: string): void };
  /** Milliseconds after which a login that is in use is made valid anew; 20 minutes by default. */
  readonly renewMs?: number;
}

export interface SweepingJobLogins extends JobLogins {
  /** The logins of one job: their names carry its id, so that the next attempt finds what a killed one left. `id` is decimal. */
  forJob(id: string): JobLogins & {
    /** Drops all logins of the job, and ends their sessions where the service role may. Never rejects. */
    dropAll(): Promise<void>;
  };
  /** Drops the logins that dead processes left: expired ones without a session. Resolves to how many; never rejects. */
  sweep(): Promise<number>;
}

const PREFIX = 'pgpier_job_';
/** Only logging in is bound to it, so it must outlast the wait for a free worker (pool.ts). What a crash leaves ends by itself. */
const VALID_FOR = '1 hour';
/** A job that is still under way may open further connections. */
const RENEW_MS = 20 * 60_000;
/** What another process left while this one runs is dropped now and then, too. */
const SWEEP_MS = 60 * 60_000;
/** One connection for the job, one in reserve for a login that is retried (sslmode prefer). */
const CONNECTIONS = 2;
/** A backend whose client left may need a moment to end. */
const DROP_RETRIES_MS = [50, 200, 1000, 5000];

export function createJobLogins({ service, backend, log, renewMs = RENEW_MS }: JobLoginsOptions): SweepingJobLogins {
  let swept = performance.now();
  const validUntil = async (): Promise<string> => {
    const { rows } = await service.query(
      `select (pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '${VALID_FOR}')::pg_catalog.text as until`,
    );
    return quoteLiteral(String(rows[0]!.until));
  };
  const renew = async (name: string): Promise<void> => {
    await service.query(`alter role ${quoteIdentifier(name)} valid until ${await validUntil()}`);
  };
  const openNamed =
    (prefix: string): JobLogins['open'] =>
    async (role, database, connections = CONNECTIONS) => {
      if (performance.now() - swept > SWEEP_MS) void logins.sweep();
      const name = `${prefix}${randomBytes(12).toString('hex')}`;
      const password = randomBytes(24).toString('base64url');
      const until = await validUntil();
      try {
        // INHERIT: where CONNECT on the database was taken from PUBLIC, the login has it through the asker. One statement, so all or nothing.
        await service.query(
          `create role ${quoteIdentifier(name)} login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls ` +
            `connection limit ${connections} password ${quoteLiteral(scramVerifier(password))} ` +
            `valid until ${until} in role ${quoteIdentifier(role)}`,
        );
      } catch (error) {
        throw (await refusal(service, role, error)) ?? error;
      }
      let closing: Promise<void> | undefined;
      // One that fails is made good by the next: two more come before the hour is over.
      const renewal = setInterval(() => void renew(name).catch(() => {}), renewMs);
      renewal.unref();
      return {
        login: { ...backend, database, user: name, password },
        close() {
          clearInterval(renewal);
          closing ??= drop(service, name).catch((error) => {
            log.warn({ role: name, sqlstate: (error as { code?: string }).code }, 'a job login could not be dropped; the next start will');
          });
          return closing;
        },
      };
    };
  const logins: SweepingJobLogins = {
    open: openNamed(PREFIX),

    forJob(id) {
      // 52 characters at most, of the 63 that a name may have.
      const prefix = `${PREFIX}${id}_`;
      return {
        open: openNamed(prefix),
        async dropAll() {
          try {
            const { rows } = await service.query(
              'select r.rolname::pg_catalog.text as name from pg_catalog.pg_roles r where pg_catalog.starts_with(r.rolname::pg_catalog.text, $1)',
              [prefix],
            );
            for (const { name } of rows) await drop(service, String(name));
          } catch (error) {
            log.warn({ job: id, sqlstate: (error as { code?: string }).code }, 'logins of an earlier attempt could not be dropped');
          }
        },
      };
    },

    async sweep() {
      swept = performance.now();
      try {
        const { rows } = await service.query(
          `select r.rolname::pg_catalog.text as name from pg_catalog.pg_roles r
            where pg_catalog.starts_with(r.rolname::pg_catalog.text, '${PREFIX}')
              and r.rolvaliduntil operator(pg_catalog.<) pg_catalog.clock_timestamp()
              and not exists (select from pg_catalog.pg_stat_activity a where a.usesysid operator(pg_catalog.=) r.oid)`,
        );
        let dropped = 0;
        for (const { name } of rows) {
          await service.query(`drop role if exists ${quoteIdentifier(String(name))}`).then(
            () => dropped++,
            (error) => log.warn({ role: name, sqlstate: error.code }, 'a job login left behind could not be dropped'),
          );
        }
        return dropped;
      } catch (error) {
        log.warn({ sqlstate: (error as { code?: string }).code }, 'job logins left behind could not be looked for');
        return 0;
      }
    },
  };
  return logins;
}

async function drop(service: Service, name: string): Promise<void> {
  for (const delay of [...DROP_RETRIES_MS, undefined]) {
    try {
      // A session that lingers holds no right that the asker has not, yet it should not outlive its statement. Not every service role may end it.
      await service
        .query('select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where usename operator(pg_catalog.=) $1', [
          name,
        ])
        .catch(() => {});
      await service.query(`drop role if exists ${quoteIdentifier(name)}`);
      return;
    } catch (error) {
      if (delay === undefined) throw error;
      await new Promise((resolve) => setTimeout(resolve, delay).unref());
    }
  }
}

/** What PostgreSQL stores for a password: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803). The password is ASCII, so SASLprep keeps it. */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16), iterations = 4096): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** 42501 with the GRANT that is missing; undefined for any other failure. */
async function refusal(service: Service, role: string, error: unknown): Promise<PgPierError | undefined> {
  if ((error as { code?: string }).code !== '42501') return undefined;
  const { rows } = await service.query(
    `select current_user::pg_catalog.text as service, m.rolcreaterole as "mayCreate", m.rolsuper as "isSuper",
        pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version,
        exists (select from pg_catalog.pg_roles a where a.rolname operator(pg_catalog.=) $1 and a.rolsuper) as "askerIsSuper"
      from pg_catalog.pg_roles m where m.rolname operator(pg_catalog.=) current_user`,
    [role],
  );
  const {
    service: user,
    mayCreate,
    askerIsSuper,
    version,
  } = rows[0] as {
    service: string;
    mayCreate: boolean;
    askerIsSuper: boolean;
    version: number;
  };
  const hints: string[] = [];
  if (!mayCreate) hints.push(`ALTER ROLE ${quoteIdentifier(user)} CREATEROLE`);
  if (askerIsSuper) hints.push(`run it as a role that is no superuser, or let PgPier's service role be one`);
  else if (version >= 160000) hints.push(`GRANT ${quoteIdentifier(role)} TO ${quoteIdentifier(user)} WITH ADMIN OPTION`);
  const hint = `PgPier's service role makes a short-lived login for each job. A superuser can allow that: ${hints.join('; ')}.`;
  return new PgPierError('jobLoginDenied', { role }, { hint });
}
