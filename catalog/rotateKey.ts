/** Another master key for the same data key: what was encrypted stays as it is, and the old master key is of no use any more. */
import type pg from 'pg';
import { PgPierError } from '../errors.ts';
import { fingerprint, unwrapDataKey, wrapDataKey } from './secretKey.ts';

/**
 * On a connection to the catalog's database. `already`: the catalog has the new key, from an earlier run.
 * @throws PgPierError `secretKeyMismatch` when the old key is not the catalog's, `secretUnreadable`
 */
export async function rotateMasterKey(
  client: pg.Client,
  keys: { readonly old: Buffer | undefined; readonly new: Buffer },
): Promise<'rotated' | 'already' | 'keyless'> {
  await client.query('begin');
  try {
    // A proxy that comes up reads this row too: it sees the one key or the other.
    const { rows } = await client.query<{ fingerprint: string; wrapped_data_key: Buffer }>(
      'select fingerprint, wrapped_data_key from pgpier.secret_key for update',
    );
    const stored = rows[0];
    if (stored === undefined) return 'keyless';
    if (stored.fingerprint === fingerprint(keys.new)) return 'already';
    const given = keys.old && fingerprint(keys.old);
    if (keys.old === undefined || given !== stored.fingerprint)
      throw new PgPierError('secretKeyMismatch', { given: given ?? 'none', expected: stored.fingerprint });
    const wrapped = wrapDataKey(keys.new, unwrapDataKey(keys.old, stored.wrapped_data_key));
    await client.query('update pgpier.secret_key set fingerprint = $1, wrapped_data_key = $2', [fingerprint(keys.new), wrapped]);
    await client.query('commit');
    return 'rotated';
  } finally {
    await client.query('rollback').catch(() => {});
  }
}
