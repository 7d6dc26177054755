/**
 * A server of Google Cloud Storage's API for one test file: fake-gcs-server, which somebody else wrote.
 *
 * Looked for in this order: an address in the environment (PGPIER_TEST_GCS=http://host:port/bucket), Docker through testcontainers, the binary on the PATH or in
 * ~/.cache/pgpier/bin (`GOBIN=~/.cache/pgpier/bin go install github.com/fsouza/fake-gcs-server@v1.56.1`). It asks for no credentials.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, findBinary, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface GcsServer {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** Exists and is empty, except for a server from the environment. */
  readonly bucket: string;
  stop(): Promise<void>;
}

const bucket = 'pgpier-test';

/** Answers why there is none; throws when one is there and does not come up. */
export async function startGcs(): Promise<GcsServer | { readonly missing: string }> {
  const address = process.env.PGPIER_TEST_GCS;
  if (address) {
    const url = new URL(address);
    return { endpoint: url.origin, bucket: url.pathname.slice(1), async stop() {} };
  }
  const container = await startContainer();
  if (!('missing' in container)) return container;
  const binary = findBinary('fake-gcs-server');
  if (binary === undefined) return { missing: `${container.missing}; fake-gcs-server: not on the PATH or in ~/.cache/pgpier/bin` };
  return await startBinary(binary);
}

async function startBinary(binary: string): Promise<GcsServer> {
  const home = mkdtempSync(join(tmpdir(), 'pgp-gcs-'));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const log = openSync(join(home, 'log'), 'a');
  const options = ['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port), '-backend', 'memory', '-external-url', endpoint];
  const child = spawn(binary, options, { cwd: home, env: { HOME: home }, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  child.unref();
  await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  const watchdog = guard([child.pid!], home);
  const server: GcsServer = {
    endpoint,
    bucket,
    async stop() {
      await end(child.pid!, 'SIGTERM');
      watchdog.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await makeBucket(endpoint);
    return server;
  } catch (error) {
    const text = readFileSync(join(home, 'log'), 'utf8').slice(-1500);
    await server.stop();
    throw new Error(`fake-gcs-server did not start: ${String(error)}\n${text}`);
  }
}

async function startContainer(): Promise<GcsServer | { readonly missing: string }> {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 });
  } catch {
    return { missing: 'gcs: no engine of Docker answers' };
  }
  try {
    const { GenericContainer } = await import('testcontainers');
    const container = await new GenericContainer('fsouza/fake-gcs-server:1.56.1')
      .withCommand(['-scheme', 'http', '-backend', 'memory'])
      .withExposedPorts(4443)
      .start();
    const endpoint = `http://${container.getHost()}:${container.getMappedPort(4443)}`;
    await makeBucket(endpoint);
    return { endpoint, bucket, stop: async () => void (await container.stop()) };
  } catch (error) {
    return { missing: `gcs: Docker cannot run it (${String(error).split('\n')[0]})` };
  }
}

/** Waits until the server answers. */
async function makeBucket(endpoint: string): Promise<void> {
  for (let waited = 0; ; waited += 100) {
    try {
      const answer = await fetch(`${endpoint}/storage/v1/b?project=test`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: bucket }),
        signal: AbortSignal.timeout(5_000),
      });
      if (answer.ok || answer.status === 409) return;
      throw new Error(`HTTP ${answer.status}`);
    } catch (error) {
      if (waited >= 20_000) throw error;
      await sleep(100);
    }
  }
}
