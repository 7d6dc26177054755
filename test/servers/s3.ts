/**
 * A real S3 server for one test file: `startS3()` or `startS3('radosgw')`.
 *
 * Looked for in this order: an address in the environment (PGPIER_TEST_S3=http://key:secret@host:port/bucket), Docker through
 * testcontainers, binaries on the PATH or in ~/.cache/pgpier/bin (`GOBIN=~/.cache/pgpier/bin go install github.com/minio/minio@latest`;
 * `apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common`).
 * Data lies in the temp directory; a watchdog shell ends what was started even when the test process is killed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { end, findBinary, guard } from './localServer.ts';
import { freePort } from './postgres.ts';
import { type Radosgw, type S3Keys, startRadosgw } from './radosgw.ts';

export type S3Kind = 'minio' | 'versitygw' | 'radosgw';

export type S3Server = {
  readonly kind: S3Kind | 'environment';
  /** `http://127.0.0.1:port`, without a path. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Exists and is empty, except for a server from the environment. */
  readonly bucket: string;
  /** Where versitygw, started from its binary, keeps objects as files. */
  readonly folder?: string;
  /** Where the server lets a test make and remove keys of the same user: radosgw. */
  readonly keys?: S3Keys;
  stop(): Promise<void>;
};

type Environment = Readonly<Record<string, string>>;

export type MissingS3 = { readonly missing: string };

const bucket = 'pgpier-test';
const keys = { accessKey: 'AKPGPIERTEST', secretKey: 'a+secret/with+signs=%' };

/** Any server, or one of a kind. Answers why there is none; throws when one is there and does not come up. `environment` is MinIO's: MINIO_… */
export async function startS3(kind?: S3Kind, environment: Environment = {}): Promise<S3Server | MissingS3> {
  const address = process.env.PGPIER_TEST_S3;
  if (address && kind === undefined) return fromEnvironment(address);
  const reasons: string[] = [];
  for (const candidate of kind ? [kind] : (['minio', 'versitygw', 'radosgw'] as const)) {
    const started = await startKind(candidate, environment);
    if (!('missing' in started)) return started;
    reasons.push(started.missing);
  }
  return { missing: reasons.join('; ') };
}

async function startKind(kind: S3Kind, environment: Environment): Promise<S3Server | MissingS3> {
  if (kind !== 'minio') return await startLocal(kind, {});
  const container = await startMinioContainer(environment);
  if (!('missing' in container)) return container;
  const local = await startLocal(kind, environment);
  return 'missing' in local ? { missing: `${container.missing}; ${local.missing}` } : local;
}

function fromEnvironment(address: string): S3Server {
  const url = new URL(address);
  return {
    kind: 'environment',
    endpoint: `${url.protocol}//${url.host}`,
    accessKey: decodeURIComponent(url.username),
    secretKey: decodeURIComponent(url.password),
    bucket: url.pathname.slice(1),
    async stop() {},
  };
}

async function startLocal(kind: S3Kind, environment: Environment): Promise<S3Server | MissingS3> {
  const missing = (kind === 'radosgw' ? ['radosgw', 'radosgw-admin', 'ceph', 'ceph-mon', 'ceph-osd', 'monmaptool'] : [kind]).find(
    (name) => !findBinary(name),
  );
  if (missing) return { missing: `${kind}: no ${missing} on the PATH or in ~/.cache/pgpier/bin` };
  const home = mkdtempSync(join(tmpdir(), 'pgp-s3-'));
  const port = await freePort();
  const running = await (kind === 'radosgw'
    ? startRadosgw({ home, port, ...keys })
    : startGoServer(kind, findBinary(kind)!, home, port, environment)
  ).catch((error: unknown) => {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  });
  const watchdog = guard(
    running.daemons.map(({ pid }) => pid),
    home,
  );
  const server: S3Server = {
    kind,
    endpoint: `http://127.0.0.1:${port}`,
    ...keys,
    bucket,
    ...(kind === 'versitygw' ? { folder: join(home, 'data', bucket) } : {}),
    ...(running.keys && { keys: running.keys }),
    async stop() {
      // Ceph's daemons take ten seconds to say goodbye to each other; there is nothing to keep.
      for (const { pid } of running.daemons) await end(pid, kind === 'radosgw' ? 'SIGKILL' : 'SIGTERM');
      watchdog.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await makeBucket(server, environment.MINIO_SITE_REGION);
    return server;
  } catch (error) {
    const log = readFileSync(join(home, 'log'), 'utf8').slice(-1500);
    await server.stop();
    throw new Error(`${kind} did not start: ${String(error)}\n${log}`);
  }
}

async function startGoServer(
  kind: 'minio' | 'versitygw',
  binary: string,
  home: string,
  port: number,
  environment: Environment,
): Promise<Pick<Radosgw, 'daemons'> & Partial<Radosgw>> {
  const data = join(home, 'data');
  mkdirSync(data);
  mkdirSync(join(home, 'iam'));
  const address = `127.0.0.1:${port}`;
  const log = openSync(join(home, 'log'), 'a');
  const [args, env] =
    kind === 'minio'
      ? [
          ['server', data, '--address', address, '--console-address', '127.0.0.1:0', '--quiet', '--anonymous'],
          { MINIO_ROOT_USER: keys.accessKey, MINIO_ROOT_PASSWORD: keys.secretKey, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
        ]
      : [
          ['--port', address, '--iam-dir', join(home, 'iam'), 'posix', '--sidecar', home, data],
          { ROOT_ACCESS_KEY: keys.accessKey, ROOT_SECRET_KEY: keys.secretKey },
        ];
  const child = spawn(binary, args as string[], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, ...(env as Environment), ...environment },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  child.unref();
  await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  return { daemons: [{ pid: child.pid! }] };
}

async function startMinioContainer(environment: Environment): Promise<S3Server | MissingS3> {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 });
  } catch {
    return { missing: 'minio: no engine of Docker answers' };
  }
  try {
    const { GenericContainer } = await import('testcontainers');
    const container = await new GenericContainer('minio/minio')
      .withEnvironment({ MINIO_ROOT_USER: keys.accessKey, MINIO_ROOT_PASSWORD: keys.secretKey, ...environment })
      .withCommand(['server', '/data'])
      .withExposedPorts(9000)
      .start();
    const endpoint = `http://${container.getHost()}:${container.getMappedPort(9000)}`;
    const server: S3Server = { kind: 'minio', endpoint, ...keys, bucket, stop: async () => void (await container.stop()) };
    await makeBucket(server, environment.MINIO_SITE_REGION);
    return server;
  } catch (error) {
    return { missing: `minio: Docker cannot run it (${String(error).split('\n')[0]})` };
  }
}

/** Waits until the server answers. */
async function makeBucket(server: S3Server, region?: string): Promise<void> {
  const client = testClient(server, region);
  try {
    for (let waited = 0; ; waited += 100) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: server.bucket }), { abortSignal: AbortSignal.timeout(5_000) });
        return;
      } catch (error) {
        if ((error as Error).name === 'BucketAlreadyOwnedByYou') return;
        if (waited >= 20_000) throw error;
        await sleep(100);
      }
    }
  } finally {
    client.destroy();
  }
}

/** The vendor's own SDK, to prepare and to look behind our back. */
export function testClient(server: Pick<S3Server, 'endpoint' | 'accessKey' | 'secretKey'>, region = 'us-east-1'): S3Client {
  return new S3Client({
    region,
    endpoint: server.endpoint,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
  });
}
