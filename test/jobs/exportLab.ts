/** What the EXPORT tests share: a PostgreSQL, a folder as storage, workers, job logins; and psql's own COPY to compare with. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import type { Notice } from '../../commands/command.ts';
import { PgPierError } from '../../errors.ts';
import { createJobLogins, type SweepingJobLogins } from '../../jobs/loginRole.ts';
import { startWorkers } from '../../jobs/pool.ts';
import type { ExportedFile, ExportTask, Workers } from '../../jobs/task.ts';
import { type Postgres, type PostgresOptions, postgresBin, startPostgres } from '../servers/postgres.ts';

export interface ExportLab {
  readonly server: Postgres;
  readonly workers: Workers;
  readonly logins: SweepingJobLogins;
  readonly logged: object[];
  readonly notices: Notice[];
  /** The superuser's own connection. */
  readonly admin: pg.Pool;
  readonly folder: string;
  export(query: string, options?: ExportOptions): Promise<readonly ExportedFile[]>;
  /** Everything below the folder, temporary files included. */
  leftovers(): string[];
  content(files: readonly ExportedFile[]): Buffer;
  stop(): Promise<void>;
}

export type ExportOptions = Partial<Omit<ExportTask, 'kind' | 'query'>> & { readonly signal?: AbortSignal; readonly offset?: number };

/** A login that pg_hba trusts by its name, so that `role` alone decides what may be read. */
export async function startExportLab(options: PostgresOptions, service = 'postgres'): Promise<ExportLab> {
  const hba =
    'local all postgres trust\nlocal all all scram-sha-256\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n';
  const server = await startPostgres({ hba, ...options });
  const folder = mkdtempSync(join(tmpdir(), 'pgpier-export-'));
  const logged: object[] = [];
  const notices: Notice[] = [];
  const note = (fields: object, message: string) => logged.push({ ...fields, message });
  const log = { info: note, warn: note, error: note };
  const admin = new pg.Pool({ connectionString: server.connectionString(), max: 4 });
  admin.on('error', () => {});
  const workers = startWorkers({ count: 2, storageSettings: { externalDir: folder, nodeId: 1, allowedNetworks: ['127.0.0.0/8'] }, log });
  const logins = createJobLogins({
    service:
      service === 'postgres'
        ? admin
        : {
            query: async (text, values) => {
              const client = await admin.connect();
              try {
                await client.query(`set session authorization ${service}`);
                return await client.query(text, values as unknown[]);
              } finally {
                await client.query('reset session authorization');
                client.release();
              }
            },
          },
    backend: { host: '127.0.0.1', port: server.port, sslmode: 'disable' },
    log,
  });
  let number = 0;
  return {
    server,
    workers,
    logins,
    logged,
    notices,
    admin,
    folder,
    async export(query, { signal, offset = 0, ...given } = {}) {
      const role = given.role ?? 'postgres';
      const { login, close } = await logins.open(role, 'postgres');
      try {
        return await workers.run(
          {
            kind: 'export',
            target: { uri: 'nodelocal://self/out', trusted: true },
            login,
            role,
            settings: { search_path: 'public' },
            parameters: [],
            exportId: (++number).toString(16).padStart(16, '0'),
            csv: { delimiter: ',', nullas: '' },
            compression: 'none',
            chunkRows: 100_000,
            chunkSize: 32 * 1024 * 1024,
            ...given,
            query: { text: query, offset },
          },
          { signal: signal ?? new AbortController().signal, onNotice: (notice) => notices.push(notice) },
        );
      } finally {
        await close();
      }
    },
    leftovers() {
      return readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => name);
    },
    content(files) {
      return Buffer.concat(
        files.map(({ filename }) => {
          const bytes = readFileSync(join(folder, 'out', filename));
          return filename.endsWith('.gz') ? gunzipSync(bytes) : bytes;
        }),
      );
    },
    async stop() {
      await workers.stop(AbortSignal.timeout(1000));
      await admin.end();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What psql writes for the same query: the yardstick. */
export function psqlCopy(server: Postgres, query: string, options = 'FORMAT csv', before = ''): Buffer {
  return execFileSync(
    join(postgresBin(15)!, 'psql'),
    [
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-d',
      server.connectionString(),
      '-c',
      `${before}`,
      '-c',
      `COPY (${query}) TO STDOUT WITH (${options})`,
    ].filter((argument, index, all) => !(argument === '' || (argument === '-c' && all[index + 1] === ''))),
    { maxBuffer: 1 << 30, env: { PATH: process.env.PATH, PGCLIENTENCODING: 'UTF8', PGTZ: 'UTC' } },
  );
}

/** The error that a promise is rejected with, which must be one of ours. */
export async function failure(promise: Promise<unknown>): Promise<PgPierError['data']> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof PgPierError) return error.data;
    throw error;
  }
  throw new Error('it succeeded');
}
