/** A PostgreSQL with a catalog, and storages on it; rows of its tables by SQL alone. */
import { spawn } from 'node:child_process';
import pg from 'pg';
import { type Catalog, openCatalog } from '../../catalog/catalog.ts';
import type { Storage, StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { collectingLog, masterKey } from '../catalog/lab.ts';
import { type Postgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';

export class UserfileLab {
  readonly server: Postgres;
  readonly catalog: Catalog;
  readonly tables: pg.Pool;
  readonly settings: StorageSettings;

  private constructor(server: Postgres, catalog: Catalog) {
    this.server = server;
    this.catalog = catalog;
    this.tables = new pg.Pool({ connectionString: server.connectionString('pgpier'), max: 4 });
    this.tables.on('error', () => {});
    const login = { host: server.socketDir, port: server.port, user: 'postgres', password: '', database: 'pgpier' };
    this.settings = { nodeId: 1, allowedNetworks: [], catalog: { ...login, tls: { kind: 'off' } } };
  }

  static async start(version: PostgresVersion): Promise<UserfileLab> {
    const server = await startPostgres({ version });
    const catalog = await openCatalog({
      service: { connectionString: server.connectionString() },
      secretKey: masterKey,
      log: collectingLog(),
      sweepInterval: 3_600_000,
    });
    return new UserfileLab(server, catalog);
  }

  async stop(): Promise<void> {
    await this.tables.end();
    await this.catalog.close();
    await this.server.stop();
  }

  open(base: string, owner = 10): Promise<Storage> {
    return openStorage({ uri: `userfile:///${base}`, trusted: false, userfile: { owner, name: '' } }, this.settings);
  }

  /** Files of every state. */
  async rows(where = 'true'): Promise<{ path: string; state: string; chunks: number }[]> {
    const found = await this.tables.query(
      `select convert_from(path, 'UTF8') as path, state, (select count(*)::int from pgpier.userfile_chunk c where c.file_id = f.file_id) as chunks
       from pgpier.userfile f where ${where} order by f.file_id`,
    );
    return found.rows;
  }

  /** A writer in a process that is killed. */
  async killedWriter(name: string, path: string, bytes = 4): Promise<void> {
    const script = `
      import { openStorage } from ${JSON.stringify(new URL('../../external/storage/storages.ts', import.meta.url).href)};
      process.once('message', async ({ settings }) => {
        const storage = await openStorage({ uri: 'userfile:///${name}', trusted: false, userfile: { owner: 10, name: '' } }, settings);
        const writer = await storage.write(${JSON.stringify(path)});
        await writer.write(Buffer.alloc(${bytes}));
        process.send('written');
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    child.send({ settings: this.settings });
    await new Promise((resolve) => child.once('message', resolve));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
  }

  /** Ends every connection of a userfile storage. */
  async endSessions(): Promise<void> {
    await this.tables.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgpier userfile' and datname = 'pgpier'`,
    );
  }
}
