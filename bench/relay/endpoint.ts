/** What is measured: PostgreSQL itself or a proxy before it, and the programs that start them. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPgpier } from '../../test/servers/pgpier.ts';
import { freePort } from '../../test/servers/postgres.ts';
import { serverLogin } from '../../test/servers/postgresBinaries.ts';
import { descendants } from '../../test/servers/processes.ts';
import { selfSigned } from './certificate.ts';

export interface Endpoint {
  readonly name: string;
  readonly port: number;
  /** Whether clients come over TLS. */
  readonly tls: boolean;
  /** The proxy's process; undefined for PostgreSQL itself. */
  readonly pid?: number;
}

/** A server behind the proxies, reached over its Unix socket. */
export interface Backend {
  readonly socketDir: string;
  readonly port: number;
}

/** Everything this run started and made; `stop()` undoes it, last first. */
export class Lab {
  readonly #stops: (() => unknown)[] = [];
  /** Every PgPier of a run keeps its catalog in the same backend. */
  readonly #secretKey = randomBytes(32).toString('base64');
  readonly directory = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
  readonly certificate: { readonly cert: string; readonly key: string };

  constructor() {
    const login = serverLogin();
    if (login) chownSync(this.directory, login.uid, login.gid);
    this.certificate = selfSigned(this.directory, login);
  }

  onStop(stop: () => unknown): void {
    this.#stops.push(stop);
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.reverse()) await stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** @param native which forward path; `on` fails where the addon is not built. */
  async pgpier(name: string, backend: Backend, tls: boolean, native: 'on' | 'off'): Promise<Endpoint> {
    const { cert, key } = this.certificate;
    const proxy = await startPgpier({
      env: {
        PGPIER_BACKEND: `postgres://postgres@/postgres?host=${encodeURIComponent(backend.socketDir)}&port=${backend.port}`,
        PGPIER_TRUST_BACKEND: 'on',
        PGPIER_AUTH: 'passthrough',
        PGPIER_NATIVE: native,
        PGPIER_SECRET_KEY: this.#secretKey,
        ...(tls && { PGPIER_TLS_CERT: cert, PGPIER_TLS_KEY: key }),
      },
    });
    this.onStop(() => proxy.stop());
    return { name, port: proxy.port, tls, pid: proxy.pid };
  }

  /** Session pooling, as PgPier's sessions are; undefined where it is not installed. */
  pgbouncer(name: string, backend: Backend, tls: boolean, packetBuffer = 4096, clients = 200): Promise<Endpoint | undefined> {
    const { cert, key } = this.certificate;
    const encryption = tls ? `client_tls_sslmode = require\nclient_tls_cert_file = ${cert}\nclient_tls_key_file = ${key}\n` : '';
    return this.#program(
      name,
      tls,
      ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer'],
      (file) => ['-q', file],
      (port) => `[databases]
postgres = host=${backend.socketDir} port=${backend.port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = ${clients + 100}
default_pool_size = ${clients}
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
pkt_buf = ${packetBuffer}
${encryption}`,
    );
  }

  /** One thread, TCP mode. It cannot answer PostgreSQL's SSLRequest: plain only. */
  haproxy(name: string, backend: Backend): Promise<Endpoint | undefined> {
    return this.#program(
      name,
      false,
      ['/usr/sbin/haproxy', '/usr/bin/haproxy', '/opt/homebrew/bin/haproxy'],
      (file) => ['-db', '-f', file],
      (port) => `global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:${port}
  server postgres unix@${backend.socketDir}/.s.PGSQL.${backend.port}
`,
    );
  }

  async #program(
    name: string,
    tls: boolean,
    places: readonly string[],
    args: (file: string) => string[],
    settings: (port: number) => string,
  ): Promise<Endpoint | undefined> {
    const binary = places.find((path) => existsSync(path));
    if (!binary) return undefined;
    const port = await freePort();
    const file = join(this.directory, `${name.replaceAll(/\W/g, '-')}.conf`);
    writeFileSync(file, settings(port));
    const child = spawn(binary, args(file), { ...serverLogin(), stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    this.onStop(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    await sleep(500);
    if (child.exitCode !== null) throw new Error(`${binary} did not start; its settings:\n${settings(port)}`);
    return { name, port, tls, pid: child.pid! };
  }
}

/** CPU seconds, user and system, of a proxy and everything it started; 0 for PostgreSQL itself. */
export function cpuSeconds({ pid }: Endpoint): number {
  if (pid === undefined) return 0;
  let ticks = 0;
  for (const each of [pid, ...descendants(pid)]) {
    const stat = readFileSync(`/proc/${each}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / 100;
}

/** Proportional set size of a proxy and everything it started, in KiB. */
export function memoryKib({ pid }: Endpoint): number {
  let sum = 0;
  for (const each of [pid!, ...descendants(pid!)]) {
    sum += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/smaps_rollup`, 'latin1'))?.[1]);
  }
  return sum;
}
