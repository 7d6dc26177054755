/** Jobs, as statements see them: made, looked at, asked to stop. Whether the asker may is asked in `privileges.ts`; workers use `jobLeases.ts`. */
import { randomInt } from 'node:crypto';
import { type ErrorData, PgPierError } from '../errors.ts';
import { finishedStates, type JobChange, type JobRequest, type JobState, requestJob } from './jobStates.ts';
import type { Roles } from './roles.ts';
import { Secret } from './secrets.ts';
import { arrived } from './settle.ts';
import type { Store } from './transaction.ts';

export interface NewJob {
  readonly type: string;
  /** Without secrets. */
  readonly description: string;
  /** What the asking session said; plain data. */
  readonly asker: unknown;
  /** JSON; stored encrypted. */
  readonly payload: unknown;
  readonly detached: boolean;
  /** Ids of connections that its statement names. */
  readonly connections: readonly string[];
  /** The only node whose workers may carry it out; absent: any. */
  readonly node?: number | undefined;
}

export interface Job {
  /** Decimal int8. */
  readonly id: string;
  readonly type: string;
  readonly description: string;
  /** A role's oid. */
  readonly owner: number;
  readonly state: JobState;
  readonly runningStatus: string | null;
  readonly created: Date;
  readonly started: Date | null;
  readonly finished: Date | null;
  readonly modified: Date;
  /** 0 to 1. */
  readonly fraction: number | null;
  readonly error: ErrorData | null;
  /** Node id of the worker that has or had it. */
  readonly coordinator: bigint | null;
  /** The asking role's name then: what is shown when the role is gone. */
  readonly askedAs: string;
}

/** How long SHOW JOBS lists a job that has ended (CockroachDB's figure). */
const LISTED_FOR = '12 hours';

const columns = `j.job_id::pg_catalog.text as id, j.type, j.description, j.owner, j.state, j.running_status as "runningStatus", j.created, j.started,
  j.finished, j.modified, j.fraction, j.error, j.coordinator::pg_catalog.text as coordinator, j.asker ->> 'role' as "askedAs"`;

type Row = Omit<Job, 'coordinator'> & { readonly coordinator: string | null };
const read = (row: Row): Job => ({ ...row, coordinator: row.coordinator === null ? null : BigInt(row.coordinator) });

export class Jobs {
  readonly #store: Store;
  readonly #roles: Roles;

  constructor(store: Store, roles: Roles) {
    this.#store = store;
    this.#roles = roles;
  }

  /** Counts, and may begin, when the client's transaction commits. Resolves to its id. Throws `secretKeyMissing`. */
  async create(job: NewJob): Promise<string> {
    const { oid: owner } = await this.#roles.asker();
    const id = newId();
    const { stamp, session } = this.#store.view;
    const marker = stamp.kind === 'transaction' ? [stamp.xid, session] : [null, null];
    const payload = this.#store.keyring.encrypt(payloadPlace(id), new Secret(JSON.stringify(job.payload)));
    await this.#store.lock(`job/${id}`, `job ${id}`);
    await this.#store.write(
      `insert into pgpier.job (job_id, type, description, owner, asker, detached, payload, state, node, connections, created_xid, created_session)
       values ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10, $11)`,
      [
        id,
        job.type,
        job.description,
        owner,
        JSON.stringify(job.asker),
        job.detached,
        payload,
        job.node ?? null,
        job.connections,
        ...marker,
      ],
    );
    return id;
  }

  /** Undefined for one that does not exist, or not yet for this session. */
  async find(id: string): Promise<Job | undefined> {
    const [row] = await this.#store.read<Row>(
      `select ${columns} from pgpier.job j where j.job_id = $4::pg_catalog.int8 and ${arrived('j')}`,
      [id],
    );
    return row && read(row);
  }

  /** Those that have not ended, the latest first, then those that ended within 12 hours, the latest first. */
  async list(): Promise<readonly Job[]> {
    const rows = await this.#store.read<Row>(
      `select ${columns} from pgpier.job j
       where (j.finished is null or j.finished > pg_catalog.clock_timestamp() - interval '${LISTED_FOR}') and ${arrived('j')}
       order by j.finished desc nulls first, coalesce(j.started, j.created) desc, j.job_id desc`,
    );
    return rows.map(read);
  }

  /** Those that have not ended and whose statement named the connection, the oldest first. */
  async ofConnection(id: string): Promise<readonly Job[]> {
    const rows = await this.#store.read<Row>(
      `select ${columns} from pgpier.job j where j.finished is null and j.connections @> array[$4::pg_catalog.uuid] and ${arrived('j')} order by j.job_id`,
      [id],
    );
    return rows.map(read);
  }

  /**
   * Asks for a pause, a cancel, or to go on. Takes effect at once. Throws `jobStateRefuses` with CockroachDB's words; `jobMissing`.
   */
  async request(request: JobRequest, id: string, reason?: string): Promise<void> {
    await this.#store.lock(`job/${id}`, `job ${id}`);
    const [row] = await this.#store.read<{ state: JobState; held: boolean; begun: boolean; ending: 'failed' | 'canceled' | null }>(
      `select j.state, j.ending, j.attempt > 0 as begun,
         j.worker is not null and j.lease_until is not null and j.lease_until > pg_catalog.clock_timestamp() as held
       from pgpier.job j where j.job_id = $4::pg_catalog.int8 and ${arrived('j')} for update`,
      [id],
    );
    if (row === undefined) throw new PgPierError('jobMissing', { id });
    const change = requestJob(request, row);
    if (change.kind === 'refused') throw new PgPierError('jobStateRefuses', { state: row.state, what: refusals[request] });
    if (change.kind === 'to') await this.#change(request, id, change, row.held, reason);
  }

  /** One that nobody holds is taken away from a worker that might still think it does (fence). */
  async #change(
    request: JobRequest,
    id: string,
    change: JobChange & { kind: 'to' },
    held: boolean,
    reason: string | undefined,
  ): Promise<void> {
    const finished = finishedStates.has(change.state);
    await this.#store.write(
      `update pgpier.job set state = $2, ending = coalesce($3, ending), modified = pg_catalog.clock_timestamp(),
         pause_reason = coalesce($4, pause_reason)${held ? '' : ', fence = fence + 1, worker = null, lease_until = null'}
         ${request === 'resume' ? ', deaths = 0' : ''}${finished ? ", finished = pg_catalog.clock_timestamp(), payload = ''" : ''}
       where job_id = $1`,
      [id, change.state, change.ending ?? null, reason ?? null],
    );
  }
}

const refusals: Readonly<Record<JobRequest, string>> = {
  pause: 'requested to be paused',
  resume: 'resumed',
  cancel: 'requested to be canceled',
};

/** Associated data of the encrypted payload. */
export const payloadPlace = (id: string): string => `job/${id}/payload`;

/** As CockroachDB's unique_rowid(): the time in units of 10 µs since 2015, and 15 bits by which ids of the same moment differ. */
function newId(): string {
  const units = BigInt(Date.now() - Date.UTC(2015, 0)) * 100n + BigInt(randomInt(100));
  return String((units << 15n) | BigInt(randomInt(1 << 15)));
}
