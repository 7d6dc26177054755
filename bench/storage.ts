/**
 * S3 against rclone: `npm run bench:storage [-- --rounds 5 --mb 1000 --zeros --server minio]`.
 *
 * On a scratch MinIO, a file of random bytes is put and got back by `rclone copyto` and through the Storage interface in a process like a worker, in turns. rclone's
 * time is that of its process; a worker of PgPier runs already, so its time is that of the transfer. With `--zeros` PgPier alone moves zeros from and to nowhere: for
 * what memory an object of any size takes (`--mb 5120`). README.md.
 */
import { fork, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type S3Kind, type S3Server, startS3 } from '../test/servers/s3.ts';
import type { Transfer, Transferred } from './storage/transfer.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    mb: { type: 'string', default: '1000' },
    zeros: { type: 'boolean', default: false },
    server: { type: 'string', default: 'minio' },
  },
});
type Measured = Pick<Transferred, 'milliseconds' | 'cpu'>;

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const size = Number(values.mb) * (values.zeros ? 1024 * 1024 : 1_000_000);

const server = await startServer();
const folder = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
const [source, back] = [join(folder, 'source'), join(folder, 'back')];
const access = `AWS_ACCESS_KEY_ID=${server.accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(server.secretKey)}`;
const uri = `s3://${server.bucket}?${access}&AWS_ENDPOINT=${encodeURIComponent(server.endpoint)}&AWS_REGION=us-east-1`;
// As jobs/workerProcess.ts starts workers.
const worker = fork(fileURLToPath(new URL('./storage/transfer.ts', import.meta.url)), [], {
  execArgv: ['--liftoff-only'],
  serialization: 'advanced',
});

async function startServer(): Promise<S3Server> {
  const started = await startS3(values.server as S3Kind);
  if ('missing' in started) throw new Error(started.missing);
  return started;
}

function transfer(what: Transfer['what'], file: string | undefined): Promise<Transferred> {
  const { promise, resolve, reject } = Promise.withResolvers<Transferred>();
  worker.once('message', resolve as (message: unknown) => void).once('exit', (code) => reject(new Error(`the worker ended with ${code}`)));
  worker.send({ what, uri, path: 'object', size, ...(file === undefined ? {} : { file }) } satisfies Transfer);
  return promise.finally(() => worker.removeAllListeners('exit'));
}

async function rclone(what: Transfer['what']): Promise<Measured> {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_X_TYPE: 's3',
    RCLONE_CONFIG_X_PROVIDER: 'Minio',
    RCLONE_CONFIG_X_ENDPOINT: server.endpoint,
    RCLONE_CONFIG_X_ACCESS_KEY_ID: server.accessKey,
    RCLONE_CONFIG_X_SECRET_ACCESS_KEY: server.secretKey,
    RCLONE_CONFIG_X_REGION: 'us-east-1',
  };
  const remote = `x:${server.bucket}/rclone`;
  // --ignore-times: the file is there since the last round.
  const args = ['copyto', '--ignore-times', ...(what === 'put' ? [source, remote] : [remote, back])];
  const begun = performance.now();
  // The shell tells what its children took.
  const child = spawn('sh', ['-c', 'rclone "$@"; code=$?; times; exit $code', 'sh', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = child.stdout.toArray();
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  if (code !== 0) throw new Error(`rclone ended with ${code}`);
  const [user = 0, system = 0] = [...String(await said).matchAll(/(\d+)m([\d.]+)s/g)]
    .slice(-2)
    .map(([, m, s]) => Number(m) * 60 + Number(s));
  return { milliseconds: performance.now() - begun, cpu: (user + system) * 1000 };
}

function fill(): void {
  const file = openSync(source, 'w');
  for (let at = 0; at < size; at += 8_000_000) writeSync(file, randomBytes(Math.min(8_000_000, size - at)));
  closeSync(file);
}

const rate = (milliseconds: number): string => `${(size / 1000 / milliseconds).toFixed(0)} MB/s`;

try {
  print(`${(size / 1e6).toFixed(0)} MB, ${values.rounds} rounds, ${values.server}`);
  if (values.zeros) {
    for (const what of ['put', 'get'] as const) {
      const done = await transfer(what, undefined);
      print(`${what}: ${rate(done.milliseconds)}, CPU ${(done.cpu / 1000).toFixed(1)} s, peak of the process ${done.peak.toFixed(0)} MiB`);
    }
  } else {
    fill();
    const ratios = { put: [] as number[], get: [] as number[] };
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const what of ['put', 'get'] as const) {
        // Each goes first in every other round; the first round is to warm up.
        const first = round % 2 === 0 ? await rclone(what) : undefined;
        const ours = await transfer(what, what === 'put' ? source : back);
        if (what === 'get' && statSync(back).size !== size) throw new Error('the file that came back is not whole');
        const theirs = first ?? (await rclone(what));
        if (round === 0) continue;
        ratios[what].push(theirs.milliseconds / ours.milliseconds);
        print(
          `round ${round}, ${what}: rclone ${rate(theirs.milliseconds)}, PgPier ${rate(ours.milliseconds)}, ratio ${ratios[what].at(-1)!.toFixed(2)}; ` +
            `CPU ${(theirs.cpu / 1000).toFixed(1)}, ${(ours.cpu / 1000).toFixed(1)} s; PgPier's peak ${ours.peak.toFixed(0)} MiB`,
        );
      }
    }
    for (const what of ['put', 'get'] as const) {
      const list = ratios[what];
      print(
        `${what}: median speed ${median(list).toFixed(2)} of rclone's (${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)})`,
      );
    }
  }
} finally {
  worker.kill();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
