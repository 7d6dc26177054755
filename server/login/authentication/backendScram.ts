/** Our own SCRAM exchange with the backend, in the name of the client: with channel binding wherever the leg has a certificate and the backend offers it. */
import { randomBytes } from 'node:crypto';
import { PgPierError } from '../../../errors.ts';
import { saslInitialResponse, saslResponse } from '../../../protocol/frontend/saslInitialResponse.ts';
import { tlsServerEndPoint } from '../../../protocol/scram/channelBinding.ts';
import { scramSha256Plus } from '../../../protocol/scram/mechanism.ts';
import { ScramClient, ScramError, type ScramKeys, type ServerFirst } from '../../../protocol/scram/scramClient.ts';
import { type Authenticating, fatal, nextRequest, unexpected } from '../exchange.ts';

export class BackendScram {
  readonly #login: Authenticating;
  readonly #scram: ScramClient;

  constructor(login: Authenticating, offered: readonly string[]) {
    this.#login = login;
    const { certificate } = login.backend;
    const channelBinding = certificate && offered.includes(scramSha256Plus) ? tlsServerEndPoint(certificate) : undefined;
    this.#scram = new ScramClient({ nonce: randomBytes(18).toString('base64'), ...(channelBinding && { channelBinding }) });
    login.backend.link.write(saslInitialResponse(this.#scram.mechanism, this.#scram.clientFirst()));
  }

  /** The backend's challenge. */
  async challenge(): Promise<ServerFirst> {
    const { request } = await nextRequest(this.#login);
    if (request.kind !== 'saslContinue') throw unexpected('no SASL challenge');
    return valid(() => this.#scram.serverFirst(request.data));
  }

  /** Resolves once the backend has proven that it holds the verifier; its refusal has been relayed when this throws BackendRefusal. */
  async prove(keys: ScramKeys): Promise<void> {
    this.#login.backend.link.write(saslResponse(this.#scram.clientFinal(keys)));
    const { request } = await nextRequest(this.#login);
    if (request.kind !== 'saslFinal') throw unexpected('no SASL completion');
    valid(() => this.#scram.verifyServerFinal(request.data));
  }
}

function valid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ScramError) throw new PgPierError('backendScram', { reason: error.message }, fatal);
    throw error;
  }
}
