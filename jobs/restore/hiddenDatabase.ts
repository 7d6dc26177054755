/**
 * Where a database is restored before it has its name: `pgpier_restore_<job>_<n>`, which nobody but its owner may enter. The one step from there
 * to the real name is one transaction; killed anywhere, the database is whole or absent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { BackedUpDatabase } from '../backup/manifest.ts';
import { quoteIdentifier, quoteLiteral } from '../transfer/quoteLiteral.ts';
import type { RestoreSession } from './restoreSession.ts';

export const hiddenName = (jobId: string, index: number): string => `pgpier_restore_${jobId}_${index + 1}`;

/** Sessions of a killed worker end by themselves within seconds. */
const DROP_MS = 20_000;
const LOOK_MS = 250;

/** @throws PgPierError of PostgreSQL: a locale, an encoding that this server does not have */
export async function createHidden(session: RestoreSession, name: string, like: BackedUpDatabase, serverVersion: number): Promise<void> {
  const { encoding, collate, ctype, localeProvider, locale, icuRules } = like;
  const options = [
    `template template0 encoding ${quoteLiteral(encoding)} lc_collate ${quoteLiteral(collate)} lc_ctype ${quoteLiteral(ctype)}`,
    ...(serverVersion >= 150000 ? [`locale_provider ${localeProvider}`] : []),
    ...(locale === undefined || localeProvider === 'libc'
      ? []
      : [`${localeProvider === 'icu' ? 'icu_locale' : 'builtin_locale'} ${quoteLiteral(locale)}`]),
    ...(icuRules === undefined || serverVersion < 160000 ? [] : [`icu_rules ${quoteLiteral(icuRules)}`]),
  ];
  await session.query(`create database ${quoteIdentifier(name)} ${options.join(' ')}`);
  await session.query(`revoke connect, temporary on database ${quoteIdentifier(name)} from public`);
}

/** Also what an attempt left whose worker was killed. */
export async function dropHidden(session: RestoreSession, name: string, signal: AbortSignal): Promise<void> {
  const until = Date.now() + DROP_MS;
  for (;;) {
    try {
      await session.query(`drop database if exists ${quoteIdentifier(name)}${Date.now() < until ? '' : ' with (force)'}`);
      return;
    } catch (error) {
      // In use: by a backend that has not noticed yet that its client is gone.
      if (!(error instanceof PgPierError) || error.data.sqlstate !== '55006' || Date.now() > until + LOOK_MS) throw error;
      await sleep(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/**
 * Gives the database its name, its properties and its doors. All sessions in it must be closed.
 * @param properties statements for the hidden name (`propertiesFor`)
 * @param owner absent: who restores
 */
export async function publish(
  session: RestoreSession,
  hidden: string,
  name: string,
  like: BackedUpDatabase,
  properties: readonly string[],
  owner?: string,
): Promise<void> {
  const until = Date.now() + DROP_MS;
  for (;;) {
    await session.query('begin');
    try {
      await session.query('set local synchronous_commit = on');
      await session.query(`grant connect, temporary on database ${quoteIdentifier(hidden)} to public`);
      if (like.connectionLimit >= 0)
        await session.query(`alter database ${quoteIdentifier(hidden)} connection limit ${like.connectionLimit}`);
      for (const property of properties) await session.query(property);
      await session.query(`alter database ${quoteIdentifier(hidden)} rename to ${quoteIdentifier(name)}`);
      if (owner !== undefined) await session.query(`alter database ${quoteIdentifier(name)} owner to ${quoteIdentifier(owner)}`);
      await session.query('commit');
      return;
    } catch (error) {
      await session.query('rollback');
      // A session that was closed a moment ago, or autovacuum.
      if (!(error instanceof PgPierError) || error.data.sqlstate !== '55006' || Date.now() > until) throw error;
      await sleep(LOOK_MS);
    }
  }
}

/**
 * The properties of a backup's database as statements for another name. They are text of the backup, so only those count that pg_dump would
 * write, word for word around the name; a comment always, settings and privileges as the caller says.
 * @returns statements for `to`, and how many were not understood
 */
export function propertiesFor(
  like: BackedUpDatabase,
  to: string,
  grants: boolean,
): { readonly statements: string[]; readonly unknown: number } {
  const from = quoteIdentifier(like.name);
  const target = quoteIdentifier(to);
  const statements: string[] = [];
  let unknown = 0;
  for (const property of like.properties) {
    const text = property.replace(/;\s*$/, '');
    const comment = `COMMENT ON DATABASE ${from} IS `;
    const setting = `ALTER DATABASE ${from} SET `;
    const right = /^(GRANT|REVOKE) [A-Z, ]+ ON DATABASE $/;
    const place = text.indexOf(from);
    if (text.startsWith(comment)) statements.push(`comment on database ${target} is ${text.slice(comment.length)}`);
    else if (text.startsWith(setting)) statements.push(`alter database ${target} set ${text.slice(setting.length)}`);
    else if (place > 0 && right.test(text.slice(0, place))) {
      if (grants) statements.push(`${text.slice(0, place)}${target}${text.slice(place + from.length)}`);
    } else unknown++;
  }
  return { statements, unknown };
}
