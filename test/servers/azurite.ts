/**
 * Azurite, Microsoft's own server of Azure Blob Storage's API, for one test file.
 *
 * Looked for in this order: an address in the environment (PGPIER_TEST_AZURE=http://account:key@host:port/container), Docker through testcontainers, the package
 * in ~/.cache/pgpier/azurite (`npm install --prefix ~/.cache/pgpier/azurite azurite@3.37.0`: 360 MB, too many for everybody's node_modules).
 * Data lies in the temp directory; a watchdog shell ends what was started even when the test process is killed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { end, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface Azurite {
  /** The account's blob service: `http://127.0.0.1:port/account`. */
  readonly service: string;
  readonly account: string;
  readonly key: string;
  /** Accounts have two; of a server from the environment it is the same one. */
  readonly otherKey: string;
  /** Exists and is empty, except for a server from the environment. */
  readonly container: string;
  stop(): Promise<void>;
}

export type MissingAzurite = { readonly missing: string };

const container = 'pgpier-test';
const account = 'pgpiertest';
/** With the characters of base64 that a URI must encode. */
const key = Buffer.alloc(64, Buffer.from([0xfb, 0xef, 0xff])).toString('base64');
const otherKey = Buffer.alloc(64, 'other').toString('base64');
const version = '3.37.0';

/**
 * @param tls PEM files: then it speaks https, and takes tokens too (it looks at who they are for and until when, not at who signed them)
 * @returns why there is none; throws when one is there and does not come up
 */
export async function startAzurite(tls?: { readonly cert: string; readonly key: string }): Promise<Azurite | MissingAzurite> {
  const address = process.env.PGPIER_TEST_AZURE;
  if (address && tls === undefined) return fromEnvironment(address);
  const started = tls === undefined ? await startContainer() : { missing: 'azurite: no engine of Docker for TLS' };
  if (!('missing' in started)) return started;
  const script = join(homedir(), '.cache/pgpier/azurite/node_modules/azurite/dist/src/blob/main.js');
  if (!existsSync(script)) return { missing: `${started.missing}; azurite: not in ~/.cache/pgpier/azurite` };
  return await startPackage(script, tls);
}

function fromEnvironment(address: string): Azurite {
  const url = new URL(address);
  const given = decodeURIComponent(url.username);
  return {
    service: `${url.protocol}//${url.host}/${given}`,
    account: given,
    key: decodeURIComponent(url.password),
    otherKey: decodeURIComponent(url.password),
    container: url.pathname.slice(1),
    async stop() {},
  };
}

async function startPackage(script: string, tls: { readonly cert: string; readonly key: string } | undefined): Promise<Azurite> {
  const home = mkdtempSync(join(tmpdir(), 'pgp-azurite-'));
  const port = await freePort();
  const log = openSync(join(home, 'log'), 'a');
  const options = [
    '--blobHost',
    '127.0.0.1',
    '--blobPort',
    String(port),
    '--location',
    home,
    '--skipApiVersionCheck',
    '--disableTelemetry',
  ];
  const secure = tls === undefined ? [] : ['--cert', tls.cert, '--key', tls.key, '--oauth', 'basic'];
  const child = spawn(process.execPath, [script, ...options, ...secure, '--silent'], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, AZURITE_ACCOUNTS: `${account}:${key}:${otherKey}` },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  child.unref();
  await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  const watchdog = guard([child.pid!], home);
  const azurite: Azurite = {
    service: tls === undefined ? `http://127.0.0.1:${port}/${account}` : `https://localhost:${port}/${account}`,
    account,
    key,
    otherKey,
    container,
    async stop() {
      await end(child.pid!, 'SIGTERM');
      watchdog.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await makeContainer(azurite, tls?.cert);
    return azurite;
  } catch (error) {
    const text = readFileSync(join(home, 'log'), 'utf8').slice(-1500);
    await azurite.stop();
    throw new Error(`azurite did not start: ${String(error)}\n${text}`);
  }
}

async function startContainer(): Promise<Azurite | MissingAzurite> {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 });
  } catch {
    return { missing: 'azurite: no engine of Docker answers' };
  }
  try {
    const { GenericContainer } = await import('testcontainers');
    const running = await new GenericContainer(`mcr.microsoft.com/azure-storage/azurite:${version}`)
      .withEnvironment({ AZURITE_ACCOUNTS: `${account}:${key}:${otherKey}` })
      .withCommand(['azurite-blob', '--blobHost', '0.0.0.0', '--skipApiVersionCheck', '--disableTelemetry'])
      .withExposedPorts(10000)
      .start();
    const service = `http://${running.getHost()}:${running.getMappedPort(10000)}/${account}`;
    const azurite: Azurite = { service, account, key, otherKey, container, stop: async () => void (await running.stop()) };
    await makeContainer(azurite);
    return azurite;
  } catch (error) {
    return { missing: `azurite: Docker cannot run it (${String(error).split('\n')[0]})` };
  }
}

/** Waits until the server answers. */
async function makeContainer(azurite: Azurite, authority?: string): Promise<void> {
  const client = testContainer(azurite, authority);
  for (let waited = 0; ; waited += 100) {
    try {
      await client.createIfNotExists({ abortSignal: AbortSignal.timeout(5_000) });
      return;
    } catch (error) {
      if (waited >= 30_000) throw error;
      await sleep(100);
    }
  }
}

/** The vendor's own SDK, to prepare and to look behind our back. `authority`: the PEM file of whom to trust. */
export function testContainer({ service, account, key, container }: Azurite, authority?: string): ContainerClient {
  return new ContainerClient(`${service}/${container}`, new StorageSharedKeyCredential(account, key), {
    retryOptions: { maxTries: 1 },
    ...(authority === undefined ? {} : { tlsOptions: { ca: readFileSync(authority, 'utf8') } }),
  });
}
