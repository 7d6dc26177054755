/**
 * From the forwarded startup packet to AuthenticationOk. The backend says what it asks for; `authentication/` has a file for each way to answer it.
 * Nothing of it is ever logged.
 */
import { PgPierError } from '../../errors.ts';
import { scramSha256, scramSha256Plus } from '../../protocol/scram/mechanism.ts';
import { answerWithPassword } from './authentication/answerWithPassword.ts';
import { relaySasl } from './authentication/relaySasl.ts';
import { terminateScram } from './authentication/terminateScram.ts';
import { type Authenticating, clientPassword, fatal, nextRequest, unexpected } from './exchange.ts';

/** Resolves once AuthenticationOk has been relayed. Throws PgPierError (to be sent as FATAL), BackendRefusal, PeerGone, BadLength. */
export async function authenticate(login: Authenticating): Promise<void> {
  const { client, backend, policy } = login;
  let challenged = false;
  for (;;) {
    const { message, request } = await nextRequest(login);
    switch (request.kind) {
      case 'ok':
        if (!challenged && !policy.trustedBackend) throw new PgPierError('backendAsksNothing', {}, fatal);
        client.link.write(message);
        return;
      case 'cleartextPassword':
        scramOnly(login, 'password');
        // From one open connection to another it goes as it would without PgPier; the pg_hba.conf that asks for it has seen such a one.
        if (client.private !== backend.private)
          throw new PgPierError('cleartextRefused', { leg: client.private ? 'backend' : 'client' }, fatal);
        client.link.write(message);
        backend.link.write((await clientPassword(login)).message);
        break;
      case 'md5Password':
        scramOnly(login, 'md5');
        client.link.write(message);
        backend.link.write((await clientPassword(login)).message);
        break;
      case 'sasl':
        if (challenged) throw unexpected('a second SASL exchange');
        if ((await sasl(login, request.mechanisms)) === 'loggedIn') return;
        break;
      case 'saslContinue':
      case 'saslFinal':
        throw unexpected('SASL data outside an exchange');
      case 'other':
        throw new PgPierError('authenticationMethod', { method: request.name }, fatal);
    }
    challenged = true;
  }
}

function scramOnly({ policy }: Authenticating, method: string): void {
  if (policy.method.kind === 'scram' && policy.method.only) throw new PgPierError('scramOnly', { method }, fatal);
}

/**
 * SCRAM is ended here where a leg has TLS: both legs then get channel binding. Without any TLS there is nothing to bind to, and what is relayed is
 * PostgreSQL's own.
 */
async function sasl(login: Authenticating, offered: readonly string[]): Promise<'loggedIn' | 'answered'> {
  const { client, backend, policy } = login;
  const encrypted = client.link.encrypted || backend.link.encrypted;
  const scram = offered.includes(scramSha256);
  if (policy.method.kind === 'scram' && scram && encrypted) {
    await terminateScram(login, offered, policy.method.verifiers);
    return 'loggedIn';
  }
  if (!scram) scramOnly(login, offered.join(', ').slice(0, 200));
  if (client.link.encrypted && backend.link.encrypted && offered.includes(scramSha256Plus)) {
    if (policy.method.kind !== 'password') throw new PgPierError('scramOverTwoTlsLegs', {}, fatal);
    await answerWithPassword(login);
  } else await relaySasl(login, offered);
  return 'answered';
}
