/** A SASL exchange carried between the legs, message by message. */
import { PgPierError } from '../../../errors.ts';
import { authenticationSasl } from '../../../protocol/backend/authentication.ts';
import { scramSha256, scramSha256Plus } from '../../../protocol/scram/mechanism.ts';
import { type Authenticating, clientAnswer, clientSaslChoice, fatal, nextRequest, unexpected } from '../exchange.ts';

export async function relaySasl(login: Authenticating, offered: readonly string[]): Promise<void> {
  const { client, backend } = login;
  // PLUS needs TLS to the client, and where both legs have it we are not here. Any other mechanism than SCRAM (OAUTHBEARER) is a secret in clear.
  const mechanisms = offered.filter((name) => name === scramSha256 || (name !== scramSha256Plus && client.private && backend.private));
  if (mechanisms.length === 0) throw new PgPierError('authenticationMethod', { method: offered.join(', ').slice(0, 200) }, fatal);
  client.link.write(authenticationSasl(mechanisms));
  const { message: first, initial } = await clientSaslChoice(login);
  if (!mechanisms.includes(initial.mechanism)) throw new PgPierError('saslMechanism', {}, fatal);
  backend.link.write(first);
  for (;;) {
    const { message, request } = await nextRequest(login);
    if (request.kind === 'saslContinue') {
      client.link.write(message);
      backend.link.write(await clientAnswer(login, 'SASL'));
    } else if (request.kind === 'saslFinal') {
      client.link.write(message);
      return;
    } else throw unexpected('an authentication request inside a SASL exchange');
  }
}
