/**
 * moto 5: IAM, STS, KMS, S3 and the metadata service of an instance on one port, by people who are not us. It checks signatures, policies, trust policies and
 * their sts:ExternalId.
 *
 * Looked for in this order: an address in the environment (PGPIER_TEST_MOTO=http://host:port, which is emptied), Docker through testcontainers, `moto_server` on the
 * PATH or in ~/.cache/pgpier/moto (`python3 -m venv ~/.cache/pgpier/moto && ~/.cache/pgpier/moto/bin/pip install 'moto[server]'`).
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, findBinary, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface Keys {
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface Moto {
  readonly endpoint: string;
  /** A user with this policy. */
  makeUser(name: string, policy: Statement): Promise<Keys>;
  /** A role with this policy, for those whom `trust` names. Answers its ARN. */
  makeRole(name: string, policy: Statement, trust: Trust): Promise<string>;
  /** From now on every request must be signed and allowed; before, nothing is asked for. */
  requireAuthentication(): Promise<void>;
  stop(): Promise<void>;
}

export interface Statement {
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
}

export interface Trust {
  /** ARN of a user or of a session. */
  readonly principal: string;
  readonly externalId?: string;
}

export type MissingMoto = { readonly missing: string };

/** Every moto's. */
export const account = '123456789012';

/** Answers why there is none; throws when one is there and does not come up. */
export async function startMoto(): Promise<Moto | MissingMoto> {
  const address = process.env.PGPIER_TEST_MOTO;
  if (address) return await ready(address.replace(/\/$/, ''), async () => {});
  const container = await startContainer();
  if (!('missing' in container)) return container;
  const local = join(homedir(), '.cache/pgpier/moto/bin/moto_server');
  const binary = existsSync(local) ? local : findBinary('moto_server');
  if (binary === undefined) return { missing: `${container.missing}; moto: no moto_server on the PATH or in ~/.cache/pgpier/moto/bin` };
  const home = mkdtempSync(join(tmpdir(), 'pgp-moto-'));
  const port = await freePort();
  const log = openSync(join(home, 'log'), 'a');
  const child = spawn(binary, ['-H', '127.0.0.1', '-p', String(port)], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home },
    stdio: ['ignore', log, log],
    detached: true,
  });
  await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  child.unref();
  const watchdog = guard([child.pid!], home);
  const stop = async () => {
    await end(child.pid!, 'SIGTERM');
    watchdog.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    return await ready(`http://127.0.0.1:${port}`, stop);
  } catch (error) {
    const said = readFileSync(join(home, 'log'), 'utf8').slice(-1500);
    await stop();
    throw new Error(`moto did not start: ${String(error)}\n${said}`);
  }
}

async function startContainer(): Promise<Moto | MissingMoto> {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 });
    const { GenericContainer } = await import('testcontainers');
    const container = await new GenericContainer('motoserver/moto').withExposedPorts(5000).start();
    return await ready(`http://${container.getHost()}:${container.getMappedPort(5000)}`, async () => void (await container.stop()));
  } catch (error) {
    return { missing: `moto: Docker cannot run it (${String(error).split('\n')[0]})` };
  }
}

async function ready(endpoint: string, stop: () => Promise<void>): Promise<Moto> {
  for (let waited = 0; ; waited += 200) {
    try {
      await post(`${endpoint}/moto-api/reset`);
      break;
    } catch (error) {
      if (waited >= 40_000) throw error;
      await sleep(200);
    }
  }
  // moto's servers outlive a test that turned this on.
  await post(`${endpoint}/moto-api/reset-auth`, 'inf');
  const iam = (action: string, values: Readonly<Record<string, string>>) => callIam(endpoint, action, values);
  const document = (statement: object) => JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow', ...statement } });
  return {
    endpoint,
    stop,
    async makeUser(name, policy) {
      await iam('CreateUser', { UserName: name });
      await iam('PutUserPolicy', { UserName: name, PolicyName: 'p', PolicyDocument: document(policy) });
      const answer = await iam('CreateAccessKey', { UserName: name });
      return { accessKey: element(answer, 'AccessKeyId'), secretKey: element(answer, 'SecretAccessKey') };
    },
    async makeRole(name, policy, { principal, externalId }) {
      const condition = externalId === undefined ? {} : { Condition: { StringEquals: { 'sts:ExternalId': externalId } } };
      const trust = document({ Action: 'sts:AssumeRole', Principal: { AWS: principal }, ...condition });
      const answer = await iam('CreateRole', { RoleName: name, AssumeRolePolicyDocument: trust });
      await iam('PutRolePolicy', { RoleName: name, PolicyName: 'p', PolicyDocument: document(policy) });
      return element(answer, 'Arn');
    },
    requireAuthentication: () => post(`${endpoint}/moto-api/reset-auth`, '0'),
  };
}

async function post(url: string, body = ''): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'text/plain' }, body });
  if (!answer.ok) throw new Error(`${url}: HTTP ${answer.status}`);
}

/** Unsigned: the header only tells moto which service is meant. */
async function callIam(endpoint: string, action: string, values: Readonly<Record<string, string>>): Promise<string> {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { authorization: 'AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x' },
    body: new URLSearchParams({ Action: action, Version: '2010-05-08', ...values }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${action}: HTTP ${answer.status} ${text.slice(0, 500)}`);
  return text;
}

function element(xml: string, name: string): string {
  const found = new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1];
  if (found === undefined) throw new Error(`no <${name}> in ${xml.slice(0, 300)}`);
  return found;
}
