/**
 * SCRAM ended here and begun anew: the client proves itself to us by the role's verifier, and the ClientKey that its proof reveals logs the same role in
 * at the backend. PostgreSQL still decides (VALID UNTIL, CONNECTION LIMIT, NOLOGIN), and each leg has channel binding of its own.
 *
 * Salt and iteration count are those of the backend's own challenge, which invents steady ones for roles that do not exist, have no password or have
 * expired. A proof that is wrong is followed by a wrong one of ours, so that PostgreSQL refuses, logs and delays as it does without us: nobody can tell an
 * unknown role from a wrong password by our bytes or our time.
 */
import { randomBytes } from 'node:crypto';
import { PgPierError } from '../../../errors.ts';
import { authenticationSasl, authenticationSaslContinue, authenticationSaslFinal } from '../../../protocol/backend/authentication.ts';
import { readSaslResponse } from '../../../protocol/frontend/saslInitialResponse.ts';
import { tlsServerEndPoint } from '../../../protocol/scram/channelBinding.ts';
import { type ScramMechanism, scramSha256, scramSha256Plus } from '../../../protocol/scram/mechanism.ts';
import type { ServerFirst } from '../../../protocol/scram/scramClient.ts';
import { ScramFaultError, ScramServer } from '../../../protocol/scram/scramServer.ts';
import type { ScramVerifier } from '../../../protocol/scram/verifier.ts';
import { type Authenticating, clientAnswer, clientSaslChoice, fatal, nextRequest, unexpected } from '../exchange.ts';
import type { Verifiers } from '../listenerOptions.ts';
import { BackendScram } from './backendScram.ts';

/** Resolves once SASLFinal and AuthenticationOk have been sent to the client. */
export async function terminateScram(login: Authenticating, offered: readonly string[], verifiers: Verifiers): Promise<void> {
  const { client } = login;
  const backend = new BackendScram(login, offered);
  const channelBinding = client.certificate && tlsServerEndPoint(client.certificate);
  const mechanisms: ScramMechanism[] = channelBinding ? [scramSha256Plus, scramSha256] : [scramSha256];
  client.link.write(authenticationSasl(mechanisms));
  const challenge = await backend.challenge();

  const { initial } = await clientSaslChoice(login);
  const mechanism = mechanisms.find((each) => each === initial.mechanism);
  if (!mechanism) throw new PgPierError('saslMechanism', {}, fatal);
  const scram = new ScramServer({ mechanism, channelBinding, nonce: randomBytes(18).toString('base64') });
  let first = initial.response;
  if (first === undefined) {
    // RFC 4422: a client that begins without a response is sent an empty challenge.
    client.link.write(authenticationSaslContinue(Buffer.alloc(0)));
    first = readSaslResponse(await clientAnswer(login, 'SASL'));
  }
  refusing(() => scram.clientFirst(first));

  // Behind the challenge, so that a password that changes now is seen by both or is found out below.
  const reading = verifiers.read(login.user);
  reading.catch(() => {});
  client.link.write(authenticationSaslContinue(scram.serverFirst(challenge.salt, challenge.iterations)));
  const final = readSaslResponse(await clientAnswer(login, 'SASL'));
  const verifier = current(await reading, challenge);
  const clientKey = refusing(() => scram.clientFinal(final, verifier));
  if (!verifier || !clientKey) {
    await backend.prove({ clientKey: randomBytes(32), serverKey: randomBytes(32) });
    throw unexpected('success after a wrong proof');
  }
  try {
    await backend.prove({ clientKey, serverKey: verifier.serverKey });
  } finally {
    clientKey.fill(0);
  }
  const { message, request } = await nextRequest(login);
  if (request.kind !== 'ok') throw unexpected('a second authentication request behind SCRAM');
  client.link.write(Buffer.concat([authenticationSaslFinal(scram.serverFinal(verifier)), message]));
}

/** A verifier with another salt than the backend's challenge: the role has expired, or its password has changed since. */
function current(verifier: ScramVerifier | undefined, { salt, iterations }: ServerFirst): ScramVerifier | undefined {
  return verifier && verifier.iterations === iterations && verifier.salt.equals(salt) ? verifier : undefined;
}

function refusing<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ScramFaultError)) throw error;
    const { fault, detail, bindingType } = error;
    throw new PgPierError(fault, { type: bindingType }, { ...fatal, ...(detail !== undefined && { detail }) });
  }
}
