/** A PostgreSQL with an open catalog, and client sessions that run statements of ours as the server would: asked for, marked, in one catalog transaction. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type Catalog, type CatalogOptions, openCatalog, type SecretKeySource, type Stamp } from '../../catalog/catalog.ts';
import type { CommandContext, CommandResult, Notice } from '../../commands/command.ts';
import { commandFor } from '../../commands/commands.ts';
import { PgPierError } from '../../errors.ts';
import type { Doorbell } from '../../jobs/queue/doorbell.ts';
import { statementJobs } from '../../jobs/queue/statementJobs.ts';
import type { Task, TaskResults, Workers } from '../../jobs/task.ts';
import { classify } from '../../statement/classify.ts';
import { type Postgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';

export const masterKey: SecretKeySource = { kind: 'value', value: Buffer.alloc(32, 7).toString('base64') };

/** Collects what the catalog logs; quiet on the terminal. */
export function collectingLog() {
  const lines: string[] = [];
  const write = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, info: write, warn: write, error: write };
}

/** What a worker answers that finds an empty storage. */
const answers: Partial<TaskResults> = {
  showBackups: { finished: [], unfinished: [] },
  showBackup: { kind: 'json', manifest: '{}' },
  checkConnection: { kind: 'failed', node: 1, error: 'there is nothing there' },
};

/** Workers that answer at once, or as `check` says. */
export function fakeWorkers(check: (task: Task) => Promise<void> = async () => {}): Workers & { readonly tasks: Task[] } {
  const tasks: Task[] = [];
  return {
    tasks,
    async run(task) {
      tasks.push(task);
      await check(task);
      return (answers[task.kind] ?? null) as never;
    },
    async stop() {},
  };
}

export interface Ran extends CommandResult {
  readonly notices: readonly Notice[];
}

/** The marker of own-statements.md §3, as a client's backend answers it. */
const markQuery = `select pg_catalog.pg_current_xact_id()::pg_catalog.text as top, l.x from pg_catalog.pg_logical_emit_message(true, 'pgpier', '') m,
  lateral (select k.transactionid::pg_catalog.text as x from pg_catalog.pg_locks k
    where m is not null and k.locktype = 'transactionid' and k.granted and k.pid = pg_catalog.pg_backend_pid()
    order by pg_catalog.age(k.transactionid) limit 1) l`;

const silent: Doorbell = { ring() {}, listen() {}, async stop() {} };

export class Session {
  readonly client: pg.Client;
  readonly lab: Lab;
  id: string = randomUUID();
  workers = fakeWorkers();
  settings: Record<string, string> = {};

  constructor(lab: Lab, client: pg.Client) {
    this.lab = lab;
    this.client = client;
  }

  /** PostgreSQL's own statement, on the client's backend. */
  async foreign(text: string): Promise<void> {
    await this.client.query(text);
  }

  async mark(): Promise<Stamp> {
    const { rows } = await this.client.query(markQuery);
    const top = BigInt(rows[0].top);
    const sub = BigInt(rows[0].x);
    return { kind: 'transaction', xid: String(top + BigInt.asUintN(32, sub - BigInt.asUintN(32, top))) };
  }

  /** Statements of ours with nothing at stake: one string, one catalog transaction. */
  async run(text: string): Promise<Ran> {
    return this.#run(text, { kind: 'immediate' });
  }

  /** Inside the client's open transaction: marked. */
  async runInTransaction(text: string): Promise<Ran> {
    return this.#run(text, await this.mark());
  }

  /** The rows of a SHOW, as arrays. */
  async show(text: string): Promise<readonly (readonly unknown[])[]> {
    return (await this.run(text)).rows;
  }

  async names(): Promise<readonly unknown[]> {
    return (await this.show('SHOW EXTERNAL CONNECTIONS')).map(([name]) => name);
  }

  /** The error that the statement fails with, as SQLSTATE and text. */
  async refusal(text: string): Promise<string> {
    return refusalOf(this.run(text));
  }

  async asker() {
    const { rows } = await this.client.query('select current_user as role, session_user as "sessionUser", current_database() as database');
    return { ...rows[0], searchPath: 'public', settings: this.settings };
  }

  async #run(text: string, stamp: Stamp): Promise<Ran> {
    const classification = classify(text, { standardConformingStrings: true });
    if (classification.kind !== 'own') throw new Error(`not ours: ${text}`);
    const asker = await this.asker();
    const notices: Notice[] = [];
    const view = { session: this.id, role: asker.role, sessionUser: asker.sessionUser, stamp };
    const result = await this.lab.catalog.transaction(view, async (catalog) => {
      const context: CommandContext = {
        asker,
        catalog,
        apart: (work) => this.lab.catalog.transaction({ ...view, stamp: { kind: 'immediate' } }, work),
        uses: this.lab.catalog.uses,
        workers: this.workers,
        jobs: statementJobs({ catalog: this.lab.catalog, doorbell: silent, nodeId: 1, log: this.lab.log }).of({
          asker,
          catalog,
          notice: () => {},
          signal: new AbortController().signal,
        }),
        logins: { open: () => Promise.reject(new Error('no job logins here')) },
        parameters: [],
        text: (value) => {
          if (value.kind === 'parameter') throw new Error('no parameters here');
          return value.value;
        },
        notice: (notice) => void notices.push(notice),
        signal: new AbortController().signal,
      };
      let last: CommandResult | undefined;
      for (const { statement } of classification.statements) last = await commandFor(statement).run(context, statement);
      return last!;
    });
    return { ...result, notices };
  }
}

export async function refusalOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PgPierError) return `${error.data.sqlstate} ${error.message}`;
    throw error;
  }
  throw new Error('it was not refused');
}

export class Lab {
  readonly server: Postgres;
  catalog: Catalog;
  readonly log = collectingLog();
  readonly #clients: pg.Client[] = [];

  constructor(server: Postgres, catalog: Catalog) {
    this.server = server;
    this.catalog = catalog;
  }

  static async start(version: PostgresVersion, options: Partial<CatalogOptions> = {}): Promise<Lab> {
    const server = await startPostgres({ version });
    try {
      const catalog = await openCatalog({
        service: { connectionString: server.connectionString() },
        secretKey: masterKey,
        log: collectingLog(),
        sweepInterval: 3_600_000,
        ...options,
      });
      return new Lab(server, catalog);
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** A client's session as that role, in `database`. */
  async session(user = 'postgres', database = 'postgres'): Promise<Session> {
    const client = new pg.Client({ connectionString: this.server.connectionString(database, user) });
    client.on('error', () => {});
    await client.connect();
    this.#clients.push(client);
    return new Session(this, client);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => {})));
    await this.catalog.close();
    await this.server.stop();
  }
}
