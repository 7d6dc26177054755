/** PostgreSQL 15 with PgPier before it, for all checks or for one run of one. */
import { execFileSync } from 'node:child_process';
import { type Certificate, makeCertificate } from '../test/servers/certificate.ts';
import { type Pgpier, startPgpier } from '../test/servers/pgpier.ts';
import { type Postgres, startPostgres } from '../test/servers/postgres.ts';
import type { Endpoint, OwnServer } from './check.ts';
import { startCopyingRelay } from './copyingRelay.ts';
import { programPath } from './programs.ts';

export interface Servers {
  readonly postgres: Postgres;
  readonly pgpier: Pgpier;
  /** Where the side that the servers were started for is reached. */
  readonly port: (side: Endpoint['name']) => number;
  /** Of both servers where they speak TLS. */
  readonly rootCertificate?: string;
  stop(): Promise<void>;
}

export const trustEverybody =
  'local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\nlocal replication all trust\n';

const shared: OwnServer = {
  postgres: {
    settings: {
      wal_level: 'logical',
      synchronous_commit: 'on',
      max_wal_senders: '10',
      max_replication_slots: '10',
      max_connections: '100',
    },
    hba: trustEverybody,
  },
};

/** @param side which of them gets the port that the check may ask for; the relay is there for its own side alone. */
export async function startServers(side?: Endpoint['name'], needs: OwnServer = shared): Promise<Servers> {
  const { port, tls } = needs;
  const certificate = tls ? makeCertificate() : undefined;
  const postgres = await startPostgres({
    version: 15,
    ...needs.postgres,
    ...(certificate && { ssl: certificate }),
    ...(port && side === 'bare' && { port }),
  });
  try {
    const pgpier = await startPgpier({
      backend: postgres,
      env: {
        ...(port && side === 'pgpier' && { PGPIER_LISTEN: `127.0.0.1:${port}` }),
        // As clients do, by TCP: pg_hba.conf may ask otherwise at the socket.
        PGPIER_BACKEND: `postgres://postgres@127.0.0.1:${postgres.port}/postgres`,
        ...(certificate && { PGPIER_TLS_CERT: certificate.certFile, PGPIER_TLS_KEY: certificate.keyFile }),
        ...(certificate && tls === 'everywhere' && encrypted(postgres, certificate)),
        ...needs.pgpier,
      },
    });
    const relay = side === 'relay' ? await startCopyingRelay(postgres.port, port ?? 0) : undefined;
    return {
      postgres,
      pgpier,
      port: (of) => (of === 'bare' ? postgres.port : of === 'pgpier' ? pgpier.port : relay!.port),
      ...(certificate && { rootCertificate: certificate.certFile }),
      async stop() {
        await relay?.stop();
        await pgpier.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** PgPier with TLS towards PostgreSQL, and a login of its own that has a password like everybody's. */
function encrypted({ socketDir, port }: Postgres, { certFile }: Certificate): Record<string, string> {
  const sql = "alter role postgres password 'secret'";
  execFileSync(programPath('psql'), ['-Xq', '-h', socketDir, '-p', String(port), '-U', 'postgres', '-c', sql]);
  return {
    PGPIER_BACKEND: `postgres://postgres:secret@localhost:${port}/postgres?sslmode=verify-full&sslrootcert=${encodeURIComponent(certFile)}`,
    PGPIER_TRUST_BACKEND: 'off',
  };
}
