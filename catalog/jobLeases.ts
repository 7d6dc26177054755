/**
 * Jobs, as their workers see them. A worker holds a job by a lease that it renews; whoever takes the job over raises the fence, and from then on
 * every write of the earlier holder changes nothing and tells it so. All times are the catalog server's.
 */
import { type ErrorData, PgPierError } from '../errors.ts';
import type { JobState } from './jobStates.ts';
import { payloadPlace } from './jobs.ts';
import type { Keyring } from './keyring.ts';
import type { Secret } from './secrets.ts';
import type { Queryable } from './settle.ts';

/** A worker that gives no sign of life for so long has lost its jobs. */
export const LEASE_MS = 6_000;
/** So long a job waits for a worker of the node that has its files, before those of other nodes take it. */
export const NODE_FIRST_MS = 2_000;
/** Jobs of others that are told at once: several nodes may be away. */
const MOST_LEFT = 16;
/** Notices that one job keeps. */
const MOST_NOTICES = 200;
/** How long a job that has ended can be asked about (CockroachDB's figure). */
const KEPT_FOR = '14 days';

/** The job is another worker's: this one's writes change nothing any more. */
export class JobTakenOver extends PgPierError {
  constructor(id: string) {
    super('jobTakenOver', { id });
  }
}

/** The right to write. */
export interface Lease {
  readonly job: string;
  readonly worker: string;
  readonly fence: string;
}

export interface HeldJob {
  readonly lease: Lease;
  /** Where its files are, if that is one node. */
  readonly node: number | undefined;
  readonly type: string;
  readonly owner: number;
  readonly asker: unknown;
  readonly detached: boolean;
  /** JSON. Decrypted when asked for; throws `secretUnreadable`. */
  readonly payload: Secret;
  readonly state: 'running' | 'reverting';
  readonly ending: 'failed' | 'canceled' | null;
  readonly error: ErrorData | null;
  readonly checkpoint: unknown;
  readonly attempt: number;
  /** Attempts whose worker was lost, since the last RESUME or the begin of the revert. */
  readonly deaths: number;
}

export interface Progress {
  readonly fraction?: number;
  readonly rows?: number;
  readonly runningStatus?: string;
}

/** What the client of a foreground statement waits for. */
export interface JobStatus {
  readonly state: JobState;
  readonly fraction: number | null;
  readonly rows: number | null;
  readonly runningStatus: string | null;
  readonly error: ErrorData | null;
  readonly result: unknown;
  /** JSON texts: those after the number asked for. */
  readonly notices: readonly string[];
}

/** How a worker's part in a job ends. */
export type Leaving =
  | { readonly kind: 'succeeded'; readonly result: unknown }
  | { readonly kind: 'paused' }
  /** After a revert. */
  | { readonly kind: 'reverted' }
  | { readonly kind: 'revertFailed'; readonly error: ErrorData }
  /** For another worker, at once or after a while. */
  | { readonly kind: 'handedBack'; readonly delayMs?: number };

type Query = Queryable['query'];

const alive = `pg_catalog.clock_timestamp() + interval '${LEASE_MS} milliseconds'`;
const isFree = '(j.lease_until is null or j.lease_until < pg_catalog.clock_timestamp())';
const isOwn = (node: string): string => `(j.node is null or j.node = ${node}::pg_catalog.int8)`;
/** The files are another node's, whose own workers have had their chance. */
const isLeftByNode = (peers: string): string =>
  `(j.node = any(${peers}::pg_catalog.int8[]) and j.modified < pg_catalog.clock_timestamp() - interval '${NODE_FIRST_MS} milliseconds')`;
const isWork = "j.finished is null and j.state <> 'paused' and j.created_xid is null";

export class JobLeases {
  readonly #query: Query;
  readonly #keyring: () => Promise<Keyring>;
  readonly #settle: () => Promise<void>;

  /**
   * `query` and `settle` turn what makes the catalog unusable into `catalogUnavailable`. `settle`: jobs whose transactions have committed count from
   * then on (settle.ts).
   */
  constructor(query: Query, keyring: () => Promise<Keyring>, settle: () => Promise<void>) {
    this.#query = query;
    this.#keyring = keyring;
    this.#settle = settle;
  }

  /**
   * Jobs of these types that nobody carries out and that this node may, the oldest first: `most` that are its own or anybody's, then some that nodes among `peers`
   * have left, whose `node` is told.
   */
  async due(
    types: readonly string[],
    node: number,
    peers: readonly number[],
    most: number,
  ): Promise<readonly { readonly id: string; readonly node?: number }[]> {
    await this.#settle();
    const text = `select j.job_id::pg_catalog.text as id, j.node::pg_catalog.text as node, ${isOwn('$2')} as own from pgpier.job j
      where ${isWork} and ${isFree} and j.type = any($1) and (${isOwn('$2')} or ${isLeftByNode('$4')}) order by own desc, j.job_id limit $3 + ${MOST_LEFT}`;
    const { rows } = await this.#query(text, [types, node, most, peers]);
    return rows.map(({ id, node: of, own }) => (own ? { id } : { id, node: Number(of) }));
  }

  /**
   * Takes a job that nobody holds; undefined when somebody does, when it is not for this worker, when it has ended, and when it does not count yet. One statement decides: of many that
   * try, one gets it. A pause that nobody was left to hear is carried out instead.
   */
  async claim(id: string, types: readonly string[], worker: string, node: number, peers: readonly number[]): Promise<HeldJob | undefined> {
    const { rows } = await this.#query(
      `update pgpier.job j set
         state = case j.state when 'pending' then 'running' when 'cancel-requested' then 'reverting' when 'pause-requested' then 'paused' else j.state end,
         ending = case j.state when 'cancel-requested' then 'canceled' else j.ending end,
         worker = case j.state when 'pause-requested' then null else $2::pg_catalog.uuid end,
         lease_until = case j.state when 'pause-requested' then null else ${alive} end,
         fence = j.fence + 1, attempt = j.attempt + 1,
         deaths = case when j.worker is null or j.worker = $2::pg_catalog.uuid then j.deaths else j.deaths + 1 end,
         coordinator = $3::pg_catalog.int8, started = coalesce(j.started, pg_catalog.clock_timestamp()), modified = pg_catalog.clock_timestamp()
       where j.job_id = $1 and ${isWork} and ${isFree} and j.type = any($4) and (${isOwn('$3')} or ${isLeftByNode('$5')})
       returning j.type, j.owner, j.asker, j.detached, j.payload, j.state, j.ending, j.error, j.checkpoint, j.attempt, j.deaths,
         j.fence::pg_catalog.text as fence, j.node::pg_catalog.text as node`,
      [id, worker, node, types, peers],
    );
    const row = rows[0];
    if (row === undefined || row.state === 'paused') return undefined;
    const keyring = await this.#keyring();
    const { payload, fence, node: of, ...job } = row;
    return {
      ...job,
      node: of === null ? undefined : Number(of),
      lease: { job: id, worker, fence },
      get payload() {
        return keyring.decrypt(payloadPlace(id), payload);
      },
    };
  }

  /** A sign of life, with what there is to tell. Resolves to the state, which may hold a request. Throws JobTakenOver. */
  async renew(lease: Lease, { fraction, rows, runningStatus }: Progress, notices: readonly string[]): Promise<JobState> {
    return this.#hold(
      lease,
      `fraction = coalesce($4, fraction), rows = coalesce($5, rows), running_status = coalesce($6, running_status),
       notices = case when pg_catalog.cardinality(notices) < ${MOST_NOTICES} then notices || $7::pg_catalog.text[] else notices end`,
      [fraction ?? null, rows ?? null, runningStatus ?? null, notices],
    );
  }

  /** Throws JobTakenOver. */
  async saveCheckpoint(lease: Lease, checkpoint: unknown): Promise<JobState> {
    return this.#hold(lease, 'checkpoint = $4', [JSON.stringify(checkpoint)]);
  }

  /** From carrying out to taking back; the lease stays. Throws JobTakenOver. */
  async beginRevert(lease: Lease, ending: 'failed' | 'canceled', error: ErrorData | null): Promise<void> {
    await this.#hold(lease, `state = 'reverting', ending = $4, error = $5, deaths = 0`, [ending, error && JSON.stringify(error)]);
  }

  /** Gives the lease up. Throws JobTakenOver. */
  async leave(lease: Lease, how: Leaving): Promise<void> {
    const free = (delayMs = 0) => `worker = null, lease_until = pg_catalog.clock_timestamp() + interval '${delayMs} milliseconds'`;
    const ended = `${free()}, finished = pg_catalog.clock_timestamp(), payload = ''`;
    switch (how.kind) {
      case 'succeeded':
        await this.#write(lease, `state = 'succeeded', fraction = 1, result = $4, ${ended}`, [JSON.stringify(how.result)]);
        return;
      case 'paused':
        await this.#write(lease, `state = 'paused', ${free()}`, []);
        return;
      case 'reverted':
        await this.#write(lease, `state = ending, ${ended}`, []);
        return;
      case 'revertFailed':
        await this.#write(lease, `state = 'revert-failed', error = $4, ${ended}`, [JSON.stringify(how.error)]);
        return;
      case 'handedBack':
        await this.#write(lease, free(how.delayMs), []);
        return;
    }
  }

  /** Undefined when there is no such job any more. */
  async status(id: string, noticesSeen: number): Promise<JobStatus | undefined> {
    const { rows } = await this.#query(
      `select j.state, j.fraction, j.rows::pg_catalog.float8 as rows, j.running_status as "runningStatus", j.error, j.result, j.notices[$2 + 1:] as notices
       from pgpier.job j where j.job_id = $1`,
      [id, noticesSeen],
    );
    return rows[0];
  }

  /** Resolves to how many. */
  async forgetOld(): Promise<number> {
    const text = `delete from pgpier.job where finished < pg_catalog.clock_timestamp() - interval '${KEPT_FOR}'`;
    return (await this.#query(text, [])).rowCount ?? 0;
  }

  async #hold(lease: Lease, assignments: string, values: readonly unknown[]): Promise<JobState> {
    return this.#write(lease, `lease_until = ${alive}, ${assignments}`, values);
  }

  async #write(lease: Lease, assignments: string, values: readonly unknown[]): Promise<JobState> {
    const { rows } = await this.#query(
      `update pgpier.job set modified = pg_catalog.clock_timestamp(), ${assignments}
       where job_id = $1 and worker = $2 and fence = $3 and finished is null returning state`,
      [lease.job, lease.worker, lease.fence, ...values],
    );
    const row = rows[0];
    if (row === undefined) throw new JobTakenOver(lease.job);
    return row.state as JobState;
  }
}
