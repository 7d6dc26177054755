/** The data key of one catalog: checked against the master key at the start, then used for every value. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { PgPierError } from '../errors.ts';
import { derive, fingerprint, loadMasterKey, type SecretKeySource, unwrapDataKey, wrapDataKey } from './secretKey.ts';
import { decrypt, encrypt, Secret } from './secrets.ts';

export interface Keyring {
  /** `place` names row and column. Throws `secretKeyMissing` where the catalog runs without a key. */
  encrypt(place: string, secret: Secret): Buffer;
  /** Throws `secretKeyMissing`, `secretUnreadable`. */
  decrypt(place: string, stored: Buffer): Secret;
  /** Another key of 32 bytes, which tells nothing about the data key. Throws `secretKeyMissing`. */
  derive(purpose: string): Buffer;
}

/**
 * Opens the keyring, on a connection that holds the migration lock: two proxies that start at once make one key. Throws
 * `secretKeyMismatch` for another key than the catalog's, `secretKeyMissing` for none where the catalog has encrypted rows.
 */
export async function openKeyring(client: pg.ClientBase, source: SecretKeySource): Promise<Keyring> {
  const { rows } = await client.query<{ fingerprint: string; wrapped_data_key: Buffer }>(
    'select fingerprint, wrapped_data_key from pgpier.secret_key',
  );
  const stored = rows[0];
  const masterKey = await loadMasterKey(source, stored === undefined);
  if (masterKey === undefined) {
    const encrypted = await client.query(
      "select exists (select from pgpier.external_connection) or exists (select from pgpier.job where payload <> '') as yes",
    );
    // A file was promised and is not there: never go on without it where the catalog knows a key.
    if (encrypted.rows[0].yes || (source.kind === 'file' && stored !== undefined)) throw missing(source);
    return keyless(source);
  }
  if (stored !== undefined) {
    if (stored.fingerprint !== fingerprint(masterKey)) {
      throw new PgPierError('secretKeyMismatch', { given: fingerprint(masterKey), expected: stored.fingerprint });
    }
    return keyed(unwrapDataKey(masterKey, stored.wrapped_data_key));
  }
  const dataKey = randomBytes(32);
  const wrapped = wrapDataKey(masterKey, dataKey);
  await client.query('insert into pgpier.secret_key (fingerprint, wrapped_data_key) values ($1, $2)', [fingerprint(masterKey), wrapped]);
  return keyed(dataKey);
}

function missing(source: SecretKeySource): PgPierError {
  return new PgPierError('secretKeyMissing', { where: source.kind === 'file' ? `no key file at ${source.path}` : 'no PGPIER_SECRET_KEY' });
}

function keyed(dataKey: Buffer): Keyring {
  return {
    encrypt: (place, secret) => encrypt(dataKey, place, Buffer.from(secret.reveal())),
    decrypt: (place, stored) => new Secret(decrypt(dataKey, place, stored).toString('utf8')),
    derive: (purpose) => derive(dataKey, purpose),
  };
}

function keyless(source: SecretKeySource): Keyring {
  return {
    encrypt: () => {
      throw missing(source);
    },
    decrypt: () => {
      throw missing(source);
    },
    derive: () => {
      throw missing(source);
    },
  };
}
