/** Where the master key comes from, what may be used as one, and how the data key is wrapped by it. */
import { hkdfSync, randomBytes } from 'node:crypto';
import { chmod, link, open, readFile, rm, stat } from 'node:fs/promises';
import { PgPierError } from '../errors.ts';
import { readKeyText } from '../formats/keyText.ts';
import { decrypt, encrypt, type Secret } from './secrets.ts';

export type SecretKeySource =
  /** 32 bytes in base64 or hex. */
  | { readonly kind: 'value'; readonly value: string | Secret }
  /** A file of mode 0600 that holds such a text. It is made only where the catalog knows of no key yet. */
  | { readonly kind: 'file'; readonly path: string; readonly createIfMissing: boolean }
  /** No key: refused where encrypted rows exist; until there is one, nothing that holds a secret can be stored. */
  | { readonly kind: 'none' };

/** 32 bytes in base64 (with or without padding, also base64url) or hex. Throws `secretKeyInvalid`. */
export function readMasterKey(text: string, origin: string): Buffer {
  const key = readKeyText(text);
  if (key === undefined) throw new PgPierError('secretKeyInvalid', { origin });
  return key;
}

/** Tells keys apart without telling anything about them. */
export function fingerprint(masterKey: Buffer): string {
  return derive(masterKey, 'pgpier key fingerprint').subarray(0, 16).toString('hex');
}

const wrappedPlace = 'secret_key/data_key';

export function wrapDataKey(masterKey: Buffer, dataKey: Buffer): Buffer {
  return encrypt(derive(masterKey, 'pgpier data key'), wrappedPlace, dataKey);
}

/** Throws `secretUnreadable`. */
export function unwrapDataKey(masterKey: Buffer, wrapped: Buffer): Buffer {
  return decrypt(derive(masterKey, 'pgpier data key'), wrappedPlace, wrapped);
}

/** 32 bytes, by HKDF-SHA256. */
export function derive(masterKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey, '', purpose, 32));
}

/**
 * The master key, or undefined where there is none to read. `mayCreate`: the catalog knows of no key yet, so a missing file may be made.
 * Throws `secretKeyInvalid`, `secretKeyFileMode`, `secretKeyFile`.
 */
export async function loadMasterKey(source: SecretKeySource, mayCreate: boolean): Promise<Buffer | undefined> {
  switch (source.kind) {
    case 'none':
      return undefined;
    case 'value':
      return readMasterKey(typeof source.value === 'string' ? source.value : source.value.reveal(), 'PGPIER_SECRET_KEY');
    case 'file': {
      const found = await readKeyFile(source.path);
      if (found !== undefined) return found;
      if (!mayCreate || !source.createIfMissing) return undefined;
      await createKeyFile(source.path);
      return readKeyFile(source.path);
    }
  }
}

/** Undefined where there is none. Throws `secretKeyInvalid`, `secretKeyFileMode`, `secretKeyFile`. */
export async function readKeyFile(path: string): Promise<Buffer | undefined> {
  let text: string;
  try {
    // Windows has no such modes; there the file inherits the directory's access list.
    if (process.platform !== 'win32') {
      const mode = (await stat(path)).mode & 0o777;
      if ((mode & 0o077) !== 0) throw new PgPierError('secretKeyFileMode', { path, mode: mode.toString(8).padStart(4, '0') });
    }
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new PgPierError('secretKeyFile', { path, reason: code ?? 'unknown' });
  }
  return readMasterKey(text, path);
}

/** Complete or not there: written and synced beside its place, then linked into it, which fails if another process was first. */
export async function createKeyFile(path: string): Promise<void> {
  const making = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(making, 'wx', 0o600);
    try {
      await file.writeFile(`${randomBytes(32).toString('base64')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(making, 0o600);
    await link(making, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new PgPierError('secretKeyFile', { path, reason: code ?? 'unknown' });
  } finally {
    await rm(making, { force: true });
  }
}
