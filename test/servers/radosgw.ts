/** Ceph's S3 gateway over one monitor and one OSD in memory: no systemd, no keyring, loopback alone. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './postgres.ts';

export interface RadosgwOptions {
  readonly home: string;
  readonly port: number;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** On a busy machine monitor and OSD now and then miss each other at the first start, and radosgw-admin then waits for ever. */
const ATTEMPTS = 3;
const COMMAND_MS = 20_000;

export interface Radosgw {
  readonly daemons: readonly { readonly pid: number }[];
  readonly keys: S3Keys;
}

/** Keys of the user whose the first ones are. */
export interface S3Keys {
  add(accessKey: string, secretKey: string): Promise<void>;
  remove(accessKey: string): Promise<void>;
}

export async function startRadosgw(options: RadosgwOptions): Promise<Radosgw> {
  for (let attempt = 1; ; attempt++) {
    const home = join(options.home, `attempt-${attempt}`);
    mkdirSync(home);
    try {
      return await startCluster({ ...options, home }, join(options.home, 'log'));
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

async function startCluster(options: RadosgwOptions, logFile: string): Promise<Radosgw> {
  const { home, port } = options;
  const monitor = await freePort();
  const fsid = randomUUID();
  const osd = randomUUID();
  for (const name of ['mon', 'osd']) mkdirSync(join(home, name));
  writeFileSync(join(home, 'ceph.conf'), configuration({ home, port, monitor, fsid }));
  const env = { ...process.env, CEPH_CONF: join(home, 'ceph.conf') };
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { env, cwd: home, stdio: 'pipe', timeout: COMMAND_MS });
  const daemons: { pid: number }[] = [];
  const start = async (command: string, ...args: string[]) => {
    const log = openSync(logFile, 'a');
    // In the foreground (-f), so that the pid is ours to end.
    const child = spawn(command, ['-f', ...args], { env, cwd: home, stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    child.unref();
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    daemons.push({ pid: child.pid! });
  };
  try {
    run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[v1:127.0.0.1:${monitor}]`, join(home, 'monmap'));
    run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', join(home, 'monmap'));
    await start('ceph-mon', '-i', 'a');
    run('ceph', '--connect-timeout', '30', 'osd', 'new', osd, '0');
    run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd);
    // Before the OSD starts, since it would enter itself, with a weight of almost nothing.
    run('ceph', 'osd', 'crush', 'add', 'osd.0', '1.0', 'root=default');
    await start('ceph-osd', '-i', '0');
    run(
      'radosgw-admin',
      'user',
      'create',
      '--uid=test',
      '--display-name=test',
      `--access-key=${options.accessKey}`,
      `--secret-key=${options.secretKey}`,
    );
    await start('radosgw', '-n', 'client.rgw');
    // Not as `run` does it: whoever works with the server meanwhile in this process must not be held up.
    const admin = async (...args: string[]): Promise<void> => {
      await promisify(execFile)('radosgw-admin', ['key', ...args, '--uid=test', '--key-type=s3'], { env, cwd: home, timeout: COMMAND_MS });
    };
    const keys: S3Keys = {
      add: (accessKey, secretKey) => admin('create', `--access-key=${accessKey}`, `--secret-key=${secretKey}`),
      remove: (accessKey) => admin('rm', `--access-key=${accessKey}`),
    };
    return { daemons, keys };
  } catch (error) {
    for (const { pid } of daemons) process.kill(pid, 'SIGKILL');
    throw error;
  }
}

function configuration(at: { readonly home: string; readonly port: number; readonly monitor: number; readonly fsid: string }): string {
  // Without the short intervals the first start takes 14 s instead of one.
  return `[global]
fsid = ${at.fsid}
mon host = [v1:127.0.0.1:${at.monitor}]
mon initial members = a
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
paxos propose interval = 0.02
paxos min wait = 0.01
mon tick interval = 1
osd heartbeat interval = 1
ms initial backoff = 0.02
mon client hunt interval = 0.2
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
osd crush update on start = false
mon data avail crit = 1
run dir = ${at.home}
admin socket = ${at.home}/$name.asok
pid file = ${at.home}/$name.pid
log file = ${at.home}/$name.log
[mon.a]
mon data = ${at.home}/mon
host = ${hostname()}
[osd.0]
osd data = ${at.home}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
host = ${hostname()}
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${at.port}
rgw dns name = localhost
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = k=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
`;
}
