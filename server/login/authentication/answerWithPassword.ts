/** Asks the client for its password inside its TLS and proves it to the backend. */
import { authenticationCleartextPassword } from '../../../protocol/backend/authentication.ts';
import { scramSha256Plus } from '../../../protocol/scram/mechanism.ts';
import { scramKeys } from '../../../protocol/scram/scramClient.ts';
import { type Authenticating, clientPassword } from '../exchange.ts';
import { BackendScram } from './backendScram.ts';

export async function answerWithPassword(login: Authenticating): Promise<void> {
  login.client.link.write(authenticationCleartextPassword());
  const { password } = await clientPassword(login);
  try {
    const backend = new BackendScram(login, [scramSha256Plus]);
    await backend.prove(await scramKeys(password, await backend.challenge()));
  } finally {
    password.fill(0);
  }
}
