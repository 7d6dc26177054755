/**
 * ALTER EXTERNAL CONNECTION: another URI, with other credentials, for the same name, owner and rights; or a second set of credentials for the place that it
 * leads to. What is under way takes it up while it works.
 */
import { Secret } from '../catalog/catalog.ts';
import type { ExternalConnection } from '../catalog/connections.ts';
import { PgPierError } from '../errors.ts';
import { typeOf } from '../external/providers.ts';
import { samePlace } from '../external/storage/place.ts';
import { isWithoutBucket } from '../external/storageTypes.ts';
import { type ExternalUri, formatUri, parseUri } from '../external/uri.ts';
import type { Command, CommandContext } from './command.ts';
import { checkLive, checkUri, readUri } from './connectionUri.ts';

const statementWords = 'ALTER EXTERNAL CONNECTION';

export const alterExternalConnection: Command<'alterExternalConnection'> = {
  kind: 'alterExternalConnection',
  statement: statementWords,
  columns: null,
  privilege:
    'UPDATE on it (admins alone where there is none of that name); also EXTERNALIOIMPLICITACCESS where the URI uses the machine’s own credentials',
  nature: 'catalogChange',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    const done = { rows: [], tag: statementWords };
    // Without the right nothing is locked, and nobody learns that another session is changing something.
    await privileges.require('UPDATE', name, await connections.find(name));
    await connections.lockName(name);
    const connection = await connections.find(name);
    await privileges.require('UPDATE', name, connection);
    if (connection === undefined) {
      if (!statement.ifExists) throw new PgPierError('connectionMissing', { name });
      context.notice({ severity: 'NOTICE', sqlstate: '00000', message: `external connection with name ${name} does not exist, skipping` });
      return done;
    }
    const { change } = statement;
    if (change.kind === 'uri') await replaceUri(context, connection, context.text(change.uri));
    else if (change.kind === 'setFallback') await setFallback(context, connection, context.text(change.uri));
    else await dropFallback(context, connection);
    return done;
  },
};

async function replaceUri(context: CommandContext, connection: ExternalConnection, text: string): Promise<void> {
  const { name, type } = connection;
  const uri = readUri(text);
  const found = await checkUri(context.catalog, uri);
  if (typeOf(found) !== type) throw new PgPierError('connectionTypeFixed', { name, type, wanted: typeOf(found) });
  await checkLive(context, { statement: statementWords, connection }, found, uri);
  let { fallback } = connection;
  if (fallback !== undefined && !(found.kind === 'storage' && samePlace({ uri: fallback.uri.reveal() }, { uri: text }))) {
    fallback = undefined;
    const message = `external connection ${name} leads to another place now: its second set of credentials was dropped`;
    context.notice({ severity: 'NOTICE', sqlstate: '00000', message });
  }
  await context.catalog.connections.alter(connection, { provider: found.provider.word, uri: new Secret(formatUri(uri)), fallback });
}

/** Checked as the first set is, with the credentials that it brings. */
async function setFallback(context: CommandContext, connection: ExternalConnection, text: string): Promise<void> {
  const { name } = connection;
  const uri = readUri(text);
  const first = parseUri(connection.uri.reveal());
  // A CONNECTION of Databend's form: its place is named when it is used.
  const placeless = isWithoutBucket(first) && isWithoutBucket(uri);
  const placed = (each: ExternalUri): ExternalUri => (placeless ? { ...each, host: 'bucket' } : each);
  const found = await checkUri(context.catalog, placed(uri));
  if (found.kind !== 'storage') throw new PgPierError('fallbackNotStorage');
  if (first.scheme !== uri.scheme || !samePlace({ uri: formatUri(placed(first)) }, { uri: formatUri(placed(uri)) }))
    throw new PgPierError('fallbackElsewhere', { name });
  if (formatUri(first) === formatUri(uri)) throw new PgPierError('fallbackSame', { name });
  if (!placeless) await checkLive(context, { statement: statementWords, connection }, found, uri);
  await context.catalog.connections.setFallback(connection, new Secret(formatUri(uri)));
}

async function dropFallback(context: CommandContext, connection: ExternalConnection): Promise<void> {
  if (connection.fallback !== undefined) return context.catalog.connections.setFallback(connection, undefined);
  const message = `external connection ${connection.name} has no second set of credentials, skipping`;
  context.notice({ severity: 'NOTICE', sqlstate: '00000', message });
}
