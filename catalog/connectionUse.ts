/**
 * Who used which connection, when, for what kind of statement and with how many bytes: `pgpier.connection_use`. What is recorded is told once the place
 * outside may be touched and once more at the end, apart from every transaction: what was done outside stays done when the client rolls back. A record that
 * cannot be written is logged and never stops the work.
 */
import { randomUUID } from 'node:crypto';
import type { Log } from './catalog.ts';
import { requireName } from './connections.ts';
import type { Roles } from './roles.ts';
import type { Queryable } from './settle.ts';
import type { Store } from './transaction.ts';

export interface NewUse {
  /** `id` and `owner` are missing where the connection is only being made. */
  readonly connection: { readonly name: string; readonly id?: string; readonly owner?: number };
  readonly role: { readonly oid: number; readonly name: string };
  /** The kind of statement, in its own words. */
  readonly statement: string;
  /** Decimal int8. */
  readonly job?: string;
}

export type Outcome = 'succeeded' | 'failed' | 'canceled' | 'interrupted';

/** What work moved to and from storages. */
export interface Transferred {
  readonly written: number;
  readonly read: number;
  /** Which of the connection's credentials were in use at the end. */
  readonly credentials: 'first' | 'second';
}

export interface UseEnd {
  readonly outcome: Outcome;
  readonly sqlstate?: string | undefined;
  readonly transferred?: Transferred | undefined;
}

export interface OpenUse {
  /** Never rejects; once. */
  end(how: UseEnd): Promise<void>;
}

export interface ConnectionUses {
  /** Never rejects. */
  begin(use: NewUse): Promise<OpenUse>;
  /** Ends what earlier attempts at the job, whose worker was lost, could not. Never rejects. */
  interrupted(job: string): Promise<void>;
}

export const defaultRetentionDays = 90;

/** What the work waits for a record; after that the record is written beside it. */
const waitMilliseconds = 2_000;
const nothing: OpenUse = { async end() {} };

/** @param retentionDays 0: nothing is recorded */
export function recordUses(
  query: Queryable['query'],
  { nodeId, retentionDays, log }: { readonly nodeId: number; readonly retentionDays: number; readonly log: Log },
): ConnectionUses {
  async function write(text: string, values: unknown[]): Promise<boolean> {
    const written = query(text, values).then(
      () => true,
      (error) => {
        log.warn({ sqlstate: error?.data?.sqlstate ?? error?.code }, 'the use of a connection could not be recorded');
        return false;
      },
    );
    return written;
  }

  if (retentionDays === 0) return { begin: async () => nothing, async interrupted() {} };
  return {
    async begin({ connection, role, statement, job }) {
      const id = randomUUID();
      const begun = write(
        `insert into pgpier.connection_use (use_id, connection_id, connection_name, owner, role, role_name, statement, job_id, node)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        [id, connection.id ?? null, connection.name, connection.owner ?? null, role.oid, role.name, statement, job ?? null, nodeId],
      );
      await forAWhile(begun);
      return {
        async end({ outcome, sqlstate, transferred }) {
          const ended = begun.then(async (there) => {
            if (!there) return;
            await write(
              `update pgpier.connection_use set ended = pg_catalog.clock_timestamp(), outcome = $2, sqlstate = $3, bytes_written = $4, bytes_read = $5,
                 credentials = $6
               where use_id = $1 and ended is null`,
              [id, outcome, sqlstate ?? null, transferred?.written ?? null, transferred?.read ?? null, transferred?.credentials ?? null],
            );
          });
          await forAWhile(ended);
        },
      };
    },
    async interrupted(job) {
      await forAWhile(
        write(
          `update pgpier.connection_use set ended = pg_catalog.clock_timestamp(), outcome = 'interrupted' where job_id = $1 and ended is null`,
          [job],
        ),
      );
    },
  };
}

async function forAWhile(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, waitMilliseconds);
  });
  await Promise.race([work, patience]);
  clearTimeout(timer);
}

/** A use as SHOW … USAGE tells it. */
export interface RecordedUse {
  readonly connection: string;
  /** The name of that moment. */
  readonly user: string;
  readonly statement: string;
  /** Decimal int8. */
  readonly job: string | null;
  readonly started: Date;
  readonly finished: Date | null;
  readonly outcome: Outcome | null;
  readonly sqlstate: string | null;
  /** Decimal int8. */
  readonly bytesWritten: string | null;
  readonly bytesRead: string | null;
  readonly credentials: 'first' | 'second' | null;
}

export class ConnectionUsage {
  readonly #store: Store;
  readonly #roles: Roles;

  constructor(store: Store, roles: Roles) {
    this.#store = store;
    this.#roles = roles;
  }

  /** The latest first: all, or those that the asker's roles made or that were made of their connections. */
  async list(wanted: { readonly name: string | undefined; readonly all: boolean; readonly most: number }): Promise<readonly RecordedUse[]> {
    if (wanted.name !== undefined) requireName(wanted.name);
    const held = wanted.all ? null : await this.#held();
    return this.#store.readPlain<RecordedUse & { readonly [column: string]: unknown }>(
      `select u.connection_name as connection, u.role_name as "user", u.statement, u.job_id::pg_catalog.text as job, u.begun as started, u.ended as finished,
         u.outcome, u.sqlstate, u.bytes_written::pg_catalog.text as "bytesWritten", u.bytes_read::pg_catalog.text as "bytesRead", u.credentials
       from pgpier.connection_use u
       where ($1::pg_catalog.text is null or u.connection_name = $1)
         and ($2::pg_catalog.oid[] is null or u.role = any($2) or u.owner = any($2))
       order by u.begun desc limit $3`,
      [wanted.name ?? null, held, wanted.most],
    );
  }

  async #held(): Promise<readonly number[]> {
    const rows = await this.#store.readPlain<{ oid: number }>(
      `select u.role as oid from pgpier.connection_use u union select u.owner from pgpier.connection_use u where u.owner is not null`,
      [],
    );
    return [...(await this.#roles.heldByAsker(rows.map(({ oid }) => oid)))];
  }
}

/** What one sweep takes at most; the next one goes on. */
const sweepRows = 10_000;

export async function forgetOldUses(catalog: Queryable, retentionDays: number): Promise<void> {
  await catalog.query(
    `delete from pgpier.connection_use where use_id = any(array(
       select u.use_id from pgpier.connection_use u where u.begun < pg_catalog.clock_timestamp() - $1 * interval '1 day' order by u.begun limit ${sweepRows}))`,
    [retentionDays],
  );
}
