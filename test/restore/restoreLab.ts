/** Runs the kinds of jobs without a queue: what a worker would hand them. */
import type pg from 'pg';
import type { Asker, Notice } from '../../commands/command.ts';
import { openStorage } from '../../external/storage/storages.ts';
import type { JobRun } from '../../jobs/job.ts';
import { createJobLogins } from '../../jobs/loginRole.ts';
import type { Postgres } from '../servers/postgres.ts';

export interface FakeRun<Payload> extends JobRun<Payload> {
  readonly notices: Notice[];
  readonly abort: AbortController;
  readonly saved: unknown[];
}

let lastId = 0;

export function fakeRun<Payload>(options: {
  readonly server: Postgres;
  readonly service: pg.Pool;
  readonly externalDir: string;
  readonly payload: Payload;
  readonly role?: string;
  readonly database?: string;
  readonly id?: string;
  readonly attempt?: number;
  readonly checkpoint?: unknown;
}): FakeRun<Payload> {
  const { server, service, externalDir, payload, role = 'postgres', database = 'postgres' } = options;
  const abort = new AbortController();
  const notices: Notice[] = [];
  const saved: unknown[] = [];
  const asker: Asker = { role, sessionUser: role, database, searchPath: '"$user", public', settings: {} };
  const warn = (fields: object, message: string): void => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
  return {
    id: options.id ?? String(1_000_000 + process.pid * 1000 + ++lastId),
    attempt: options.attempt ?? 1,
    payload,
    asker,
    checkpoint: options.checkpoint,
    signal: abort.signal,
    abort,
    notices,
    saved,
    saveCheckpoint: async (checkpoint) => void saved.push(checkpoint),
    progress: () => {},
    notice: (notice) => void notices.push(notice),
    openStorage: (uri) => openStorage({ uri, trusted: true }, { externalDir, nodeId: 1, allowedNetworks: [] }),
    logins: createJobLogins({ service, backend: { host: server.socketDir, port: server.port, sslmode: 'disable' }, log: { warn } }),
  };
}
