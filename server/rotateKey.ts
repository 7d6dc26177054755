/** `pgpier rotate-key`: a new secret key for the catalog. Whatever moment it is stopped at, one of the two keys opens the catalog, and a second run ends the work. */
import { existsSync } from 'node:fs';
import { copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { rotateMasterKey } from '../catalog/rotateKey.ts';
import { createKeyFile, readKeyFile, readMasterKey } from '../catalog/secretKey.ts';
import { type Config, type ConfiguredKey, readConfig } from './config.ts';
import { embeddedDirectory, findCatalog } from './findCatalog.ts';
import { sentence } from './sentence.ts';
import type { Program } from './subcommands.ts';

const exitCodes = { done: 0, failed: 1, usage: 2 } as const;

const usage = `Usage: pgpier rotate-key [--name value …]

Puts a new secret key in the place of the catalog's, with the settings of the PgPier that serves. What is encrypted stays readable.
The new key is taken from PGPIER_NEW_SECRET_KEY or PGPIER_NEW_SECRET_KEY_FILE (made when absent). Without either, where the present key
is in a file, a new one is made in that file's place, and the old one is kept beside it as FILE.old.
Running proxies go on; restart them with the new key when it suits.
`;

export const runRotateKey: Program = async (argv, environment) => {
  const reading = readConfig(['rotate-key', ...argv], environment);
  if (reading.kind === 'help') {
    process.stdout.write(usage);
    return exitCodes.done;
  }
  if (reading.kind === 'mistakes') return say(`the configuration: ${reading.mistakes.join('; ')}`, exitCodes.usage);
  if (reading.kind !== 'config') return say('--version belongs to pgpier itself', exitCodes.usage);
  for (const warning of reading.config.warnings) process.stderr.write(`pgpier rotate-key: ${warning}\n`);
  try {
    process.stdout.write(`${await rotate(reading.config)}\n`);
    return exitCodes.done;
  } catch (error) {
    return say(sentence(error), exitCodes.failed);
  }
};

/** @returns what to tell */
async function rotate(config: Config): Promise<string> {
  const present = presentKey(config);
  if (config.newSecretKey) {
    const found = await readKey(config.newSecretKey, true);
    const done = await inCatalog(config, await readKey(present, false), found!);
    const where = config.newSecretKey.kind === 'key' ? 'PGPIER_SECRET_KEY' : 'PGPIER_SECRET_KEY_FILE';
    return `${done}; from now on PgPier starts with the new key in ${where}`;
  }
  if (present.kind === 'key') throw new Error('PGPIER_NEW_SECRET_KEY or PGPIER_NEW_SECRET_KEY_FILE must hold the new key');
  const { path } = present;
  const next = `${path}.new`;
  // One that is there is left from a run that was stopped: the catalog may know it already.
  if (!existsSync(next)) await createKeyFile(next);
  const done = await inCatalog(config, await readKey(present, false), (await readKeyFile(next))!);
  await copyFile(path, `${path}.old`);
  await rename(next, path);
  return `${done}; it is in ${path}, the old one in ${path}.old: older copies of the catalog need that one`;
}

async function inCatalog(config: Config, old: Buffer | undefined, next: Buffer): Promise<string> {
  const { service, elsewhere, login } = await findCatalog(config);
  const client = new pg.Client({ ...(elsewhere ?? service).config, database: login.database, application_name: 'pgpier rotate-key' });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query("select pg_catalog.to_regclass('pgpier.secret_key') is not null as yes");
    if (!rows[0].yes) throw new Error(`the database "${login.database}" holds no catalog of PgPier's`);
    switch (await rotateMasterKey(client, { old, new: next })) {
      case 'keyless':
        throw new Error('the catalog has no key yet: start PgPier with the new one');
      case 'already':
        return 'the catalog has the new key already';
      case 'rotated':
        return 'the catalog has the new key';
    }
  } finally {
    await client.end().catch(() => {});
  }
}

function presentKey(config: Config): ConfiguredKey {
  const directory = config.backend.kind === 'embedded' ? embeddedDirectory(config) : config.dataDirectory;
  return config.secretKey ?? { kind: 'file', path: join(directory, 'secret.key') };
}

async function readKey(key: ConfiguredKey, mayMake: boolean): Promise<Buffer | undefined> {
  if (key.kind === 'key') return readMasterKey(key.key.reveal(), 'the key');
  if (mayMake && !existsSync(key.path)) await createKeyFile(key.path);
  return readKeyFile(key.path);
}

function say(message: string, code: number): number {
  process.stderr.write(`pgpier rotate-key: ${message}\n`);
  return code;
}
