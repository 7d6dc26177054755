/**
 * The embedded default: a real PostgreSQL 18 of our own, reached by a Unix socket in a directory that nobody else can enter. As root it runs
 * under the account `postgres`, else `nobody`. Its data stay between runs.
 */
import { chmodSync, chownSync, existsSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Secret } from '../catalog/secrets.ts';
import { scramVerifier } from '../jobs/loginRole.ts';
import { saslPrep } from '../protocol/scram/saslPrep.ts';
import { chooseRunAs, type RunAs } from './embedded/account.ts';
import { findBinaries } from './embedded/binaries.ts';
import { ensureCluster, writeHba } from './embedded/cluster.ts';
import { lockDirectory } from './embedded/lock.ts';
import { placeData } from './embedded/place.ts';
import { PORT, type Postmaster, startPostmaster, stopOrphan } from './embedded/postmaster.ts';

export interface EmbeddedOptions {
  /** As configured; see `EmbeddedServer.dataDirectory`. */
  readonly dataDirectory: string;
  /** Of the role postgres; every login then needs one. */
  readonly password?: Secret;
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  /** Aborted: the start is given up, and what it had started is stopped. */
  readonly signal?: AbortSignal;
}

export interface EmbeddedServer {
  /** Where the data are: as configured, or where the server's account can reach them. Holds `postgres/`, `postgres.log`, `pgpier.lock`. */
  readonly dataDirectory: string;
  /** Of the Unix socket. */
  readonly host: string;
  readonly port: number;
  /** `18.4` */
  readonly version: string;
  readonly pid: number;
  /** Resolves when the server is gone, asked or not. */
  readonly exited: Promise<string>;
  /** Fast shutdown, then the directory's lock is given back. Safe to call twice. */
  stop(): Promise<void>;
}

/** sun_path is 108 bytes on Linux, 104 on macOS, with `/.s.PGSQL.5432.lock` in it. */
const SOCKET_DIRECTORY_MOST = 80;

/** @throws Error in words for the person who starts it. Nothing is left running. */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  if (process.platform === 'win32')
    throw new Error(
      'the embedded PostgreSQL needs Unix sockets, which PgPier does not use on Windows: set PGPIER_BACKEND to a PostgreSQL of your own',
    );
  const { log, password, signal } = options;
  const runAs = chooseRunAs();
  const binaries = findBinaries(runAs);
  const as = runAs.kind === 'account' ? { account: runAs.account.name } : {};
  if (binaries.copiedFrom !== undefined)
    log.info(
      { ...as, from: binaries.copiedFrom, to: binaries.bin },
      `the server's account cannot read the clone: its binaries run from ${binaries.bin}`,
    );
  const place = placeData(options.dataDirectory, runAs);
  const { directory } = place;
  if (place.insteadOf !== undefined)
    log.info(
      { ...as, from: place.insteadOf, to: directory },
      `the server's account cannot reach ${place.insteadOf}: its data are in ${directory}`,
    );

  const lock = lockDirectory(directory);
  const cluster = join(directory, 'postgres');
  let socketDirectory: string | undefined;
  let postmaster: Postmaster | undefined;
  const end = async (): Promise<void> => {
    await postmaster?.stop();
    if (socketDirectory !== undefined) rmSync(socketDirectory, { recursive: true, force: true });
    lock.release();
  };
  try {
    const orphan = await stopOrphan(cluster);
    if (orphan !== undefined) {
      log.warn({ pid: orphan.pid }, 'stopped the PostgreSQL that an earlier PgPier left running when it was killed');
      if (orphan.socketDirectory !== undefined) removeEmpty(orphan.socketDirectory);
    }
    signal?.throwIfAborted();
    if (ensureCluster(cluster, binaries, runAs))
      log.info({ ...as, directory: cluster }, `made a PostgreSQL ${binaries.version} cluster in ${cluster}`);
    writeHba(cluster, 'trust', runAs);
    socketDirectory = makeSocketDirectory(runAs);
    const logFile = join(directory, 'postgres.log');
    postmaster = await startPostmaster({ binaries, cluster, socketDirectory, logFile, runAs, ...(signal && { signal }) });
    if (password !== undefined)
      await requirePassword(socketDirectory, password, postmaster, () => writeHba(cluster, 'scram-sha-256', runAs));
    log.info(
      { ...as, version: binaries.version, pid: postmaster.pid, directory, serverLog: logFile },
      `PostgreSQL ${binaries.version} runs on ${cluster}`,
    );
  } catch (error) {
    await end();
    throw error;
  }
  let ending: Promise<void> | undefined;
  return {
    dataDirectory: directory,
    host: socketDirectory,
    port: PORT,
    version: binaries.version,
    pid: postmaster.pid,
    exited: postmaster.exited,
    stop: () => {
      ending ??= end();
      return ending;
    },
  };
}

function makeSocketDirectory(runAs: RunAs): string {
  const base = Buffer.byteLength(tmpdir()) <= SOCKET_DIRECTORY_MOST - '/pgpier-XXXXXX'.length ? tmpdir() : '/tmp';
  const directory = mkdtempSync(join(base, 'pgpier-'));
  chmodSync(directory, 0o700);
  if (runAs.kind === 'account') chownSync(directory, runAs.account.uid, runAs.account.gid);
  return directory;
}

/** While the socket trusts everybody who can open it, nobody but us and root can. The server is told the verifier, never the password. */
async function requirePassword(host: string, password: Secret, postmaster: Postmaster, closeDoor: () => void): Promise<void> {
  const connect = (secret?: string) =>
    new pg.Client({ host, port: PORT, user: 'postgres', database: 'postgres', ...(secret !== undefined && { password: secret }) });
  const trusted = connect();
  await trusted.connect();
  try {
    await trusted.query(`ALTER ROLE postgres PASSWORD '${scramVerifier(saslPrep(Buffer.from(password.reveal())).toString())}'`);
  } finally {
    await trusted.end();
  }
  closeDoor();
  postmaster.reload();
  // The reload is a signal: before anybody may connect, a login without a password has to fail.
  for (let waited = 0; ; waited += 10) {
    const probe = connect('');
    probe.on('error', () => {});
    const refused = await probe.connect().then(
      () => false,
      () => true,
    );
    await probe.end().catch(() => {});
    if (refused) return;
    if (waited > 10_000) throw new Error('the embedded PostgreSQL did not take over its new pg_hba.conf');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function removeEmpty(directory: string): void {
  if (!existsSync(directory) || !/\/pgpier-\w{6}$/.test(directory)) return;
  try {
    rmdirSync(directory);
  } catch {
    // Not empty, so not (only) ours.
  }
}
