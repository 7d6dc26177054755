/** `pgpier rotate-key` as an operator runs it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const skip = missingPostgres(15);
const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpier-rotate-'));
const data = join(folder, 'data');
const keyFile = join(data, 'secret.key');
let postgres: Postgres;
let backend: string;

before(async () => {
  if (skip) return;
  postgres = await startPostgres({ version: 15 });
  backend = `postgres://postgres@/postgres?host=${encodeURIComponent(postgres.socketDir)}&port=${postgres.port}`;
});
after(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function rotate(env: Record<string, string> = {}, words: readonly string[] = []): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [main, 'rotate-key', ...words], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, PGPIER_BACKEND: backend, PGPIER_DATA: data, ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, text };
}

const start = (env: Record<string, string> = {}): Promise<Pgpier> => startPgpier({ backend: postgres, env: { PGPIER_DATA: data, ...env } });

async function statementOf(proxy: Pgpier): Promise<string> {
  const client = new pg.Client({ connectionString: proxy.connectionString() });
  await client.connect();
  const { rows } = await client.query('show create all external connections');
  await client.end();
  return rows.map((row) => row.create_statement).join();
}

const newKey = (): string => randomBytes(32).toString('base64');

test('a key in a file is replaced; what is encrypted stays readable, before and after a restart', { skip }, async () => {
  const proxy = await start();
  const client = new pg.Client({ connectionString: proxy.connectionString() });
  await client.connect();
  await client.query("create connection kept storage_type = 's3' access_key_id = 'k' secret_access_key = 'hunter2'");
  await client.end();
  const old = readFileSync(keyFile, 'utf8');
  const { code, text } = await rotate();
  assert.equal(code, 0, text);
  assert.match(text, /^the catalog has the new key; it is in .*secret\.key, the old one in .*secret\.key\.old/);
  const replaced = readFileSync(keyFile, 'utf8');
  assert.notEqual(replaced, old);
  assert.equal(readFileSync(`${keyFile}.old`, 'utf8'), old);
  assert.equal(existsSync(`${keyFile}.new`), false);
  for (const path of [keyFile, `${keyFile}.old`]) assert.equal(statSync(path).mode & 0o777, 0o600);
  for (const key of [old, replaced]) assert.ok(!text.includes(key.trim()));
  assert.match(await statementOf(proxy), /hunter2/, 'the proxy that runs goes on');
  await proxy.stop();
  const again = await start();
  assert.match(await statementOf(again), /hunter2/);
  await again.stop();
  await assert.rejects(start({ PGPIER_SECRET_KEY: old.trim() }), /cannot start/);
});

test('a run that was stopped after the catalog had the key is finished by the next', { skip }, async () => {
  // As it was between the two steps: the catalog has the key of `.new`, the file the one before.
  copyFileSync(keyFile, `${keyFile}.new`);
  copyFileSync(`${keyFile}.old`, keyFile);
  await assert.rejects(start(), /cannot start/);
  const { code, text } = await rotate();
  assert.equal(code, 0, text);
  assert.match(text, /^the catalog has the new key already;/);
  const proxy = await start();
  assert.match(await statementOf(proxy), /hunter2/);
  await proxy.stop();
});

test('a key is taken from the environment, or made in a file that is named', { skip }, async () => {
  const value = newKey();
  const first = await rotate({ PGPIER_NEW_SECRET_KEY: value });
  assert.deepEqual(first, {
    code: 0,
    text: 'the catalog has the new key; from now on PgPier starts with the new key in PGPIER_SECRET_KEY\n',
  });
  const named = join(folder, 'named.key');
  const second = await rotate({ PGPIER_SECRET_KEY: value, PGPIER_NEW_SECRET_KEY_FILE: named });
  assert.equal(second.code, 0, second.text);
  assert.equal(statSync(named).mode & 0o777, 0o600);
  const proxy = await start({ PGPIER_SECRET_KEY_FILE: named });
  assert.match(await statementOf(proxy), /hunter2/);
  await proxy.stop();
});

test('mistakes are told, and change nothing', { skip }, async () => {
  const named = join(folder, 'named.key');
  const [value, wrong] = [readFileSync(named, 'utf8').trim(), newKey()];
  for (const [env, words, code, message] of [
    [{ PGPIER_SECRET_KEY: value }, [], 1, /PGPIER_NEW_SECRET_KEY or PGPIER_NEW_SECRET_KEY_FILE must hold the new key/],
    [{ PGPIER_SECRET_KEY: wrong, PGPIER_NEW_SECRET_KEY: newKey() }, [], 1, /fingerprint/],
    [{ PGPIER_SECRET_KEY: value, PGPIER_NEW_SECRET_KEY: 'short' }, [], 2, /PGPIER_NEW_SECRET_KEY is not 32 bytes/],
    [{}, ['--new-secret-key', 'x'], 2, /--new-secret-key is no flag, because ps shows flags/],
    [{ PGPIER_BACKEND: 'postgres://nobody@127.0.0.1:1/x', PGPIER_NEW_SECRET_KEY: newKey() }, [], 1, /cannot log in to the backend/],
  ] as const) {
    const found = await rotate(env, words);
    assert.equal(found.code, code, found.text);
    assert.match(found.text, message);
    for (const secret of [value, wrong]) assert.ok(!found.text.includes(secret));
  }
  assert.match((await rotate({}, ['--help'])).text, /^Usage: pgpier rotate-key/);
  await assert.rejects(
    start({ PGPIER_SECRET_KEY: value, PGPIER_NEW_SECRET_KEY: newKey() }),
    /PGPIER_NEW_SECRET_KEY is for `pgpier rotate-key` alone/,
  );
  const proxy = await start({ PGPIER_SECRET_KEY: value });
  assert.match(await statementOf(proxy), /hunter2/);
  await proxy.stop();
});
