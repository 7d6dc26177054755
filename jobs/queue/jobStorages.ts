/** What a job opens outside: for its asker, whose rights are asked again and again, following its connection, with every use recorded. */
import { randomUUID } from 'node:crypto';
import type { Catalog } from '../../catalog/catalog.ts';
import type { OpenUse, Outcome } from '../../catalog/connectionUse.ts';
import type { HeldJob } from '../../catalog/jobLeases.ts';
import type { Notice } from '../../commands/command.ts';
import { PgPierError } from '../../errors.ts';
import type { Storage, StorageSettings } from '../../external/storage/storage.ts';
import { onNode, resolveStorage } from '../destination.ts';
import { OpenedStorages } from '../openedStorages.ts';
import type { Log } from '../pool.ts';
import type { StorageTarget } from '../task.ts';
import { throughOutage } from './outage.ts';

export interface JobStoragesOptions {
  readonly catalog: Catalog;
  readonly job: HeldJob;
  readonly settings: StorageSettings;
  readonly log: Log;
  readonly notice: (notice: Notice) => void;
}

/** Whose storage, and for what: what was begun may be taken back even by one who may not begin it any more. */
export interface Opening {
  /** The asking role's name; it is looked up by the job's owner again later. */
  readonly role: string;
  readonly purpose: 'carryOut' | 'takeBack';
  readonly signal: AbortSignal;
}

export class JobStorages {
  readonly #options: JobStoragesOptions;
  #opened: OpenedStorages;
  #uses: OpenUse[] = [];
  /** By URI, as it was resolved last in this process. */
  readonly #known = new Map<string, StorageTarget>();

  constructor(options: JobStoragesOptions) {
    this.#options = options;
    this.#opened = new OpenedStorages(options.settings);
  }

  async open(uri: string, { role, purpose, signal }: Opening): Promise<Storage> {
    const { catalog, job, notice, log } = this.#options;
    const { owner, type, lease } = job;
    const resolve = async () => onNode(await targetOf(catalog, await roleName(catalog, owner, role), uri), job.node);
    const known = purpose === 'takeBack' ? this.#known.get(uri) : undefined;
    const target = await throughOutage(signal, resolve).catch((error) => {
      if (known === undefined || !(error instanceof PgPierError)) throw error;
      return known;
    });
    this.#known.set(uri, target);
    const again = async () => {
      if (target === known) return known;
      const now = await resolve();
      this.#known.set(uri, now);
      return now;
    };
    const { connection } = target;
    if (connection !== undefined) {
      const statement = purpose === 'takeBack' ? `${type} (reverting)` : type;
      this.#uses.push(await catalog.uses.begin({ connection, role: { oid: owner, name: role }, statement, job: lease.job }));
    }
    return this.#opened.open(target, {
      resolve: again,
      notice(told) {
        notice(told);
        const fields = { job: lease.job, notice: told.message };
        log[told.severity === 'WARNING' ? 'warn' : 'info'](fields, 'a job was told of a change of its connection');
      },
    });
  }

  /** Records how the uses since the last call ended. */
  async end(outcome: Outcome, sqlstate?: string): Promise<void> {
    const { transferred } = this.#opened;
    this.#opened = new OpenedStorages(this.#options.settings);
    await Promise.all(this.#uses.splice(0).map((use) => use.end({ outcome, sqlstate, transferred })));
  }
}

/** The role under its present name. Throws `roleMissing`. */
export async function roleName(catalog: Catalog, oid: number, then: string): Promise<string> {
  const rows = await catalog.service.query<{ name: string }>(
    'select r.rolname::pg_catalog.text as name from pg_catalog.pg_roles r where r.oid = $1',
    [oid],
  );
  if (rows[0] === undefined) throw new PgPierError('roleMissing', { role: then });
  return rows[0].name;
}

function targetOf(catalog: Catalog, role: string, uri: string): Promise<StorageTarget> {
  const view = { session: randomUUID(), role, sessionUser: role, stamp: { kind: 'immediate' } } as const;
  return catalog.transaction(view, (tx) => resolveStorage({ catalog: tx }, uri));
}
