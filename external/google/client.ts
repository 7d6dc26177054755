/** Requests in the name of a login. */
import type { IncomingMessage } from 'node:http';
import type { Egress } from '../egress.ts';
import { exchange, GoogleFailure, type GoogleRequest, readJson, retrying } from './http.ts';
import type { GoogleTokens } from './tokens.ts';

export interface GoogleService {
  readonly egress: Egress;
  readonly tokens: GoogleTokens;
  /** `https://host[:port]`. */
  readonly endpoint: string;
  /** What is there, for messages: `Google Cloud Storage`. */
  readonly provider: string;
}

export class GoogleClient {
  readonly #service: GoogleService;

  constructor(service: GoogleService) {
    this.#service = service;
  }

  /** Once; and once more when a token that was kept is refused. `url` begins behind the endpoint. Throws as `exchange` and `GoogleTokens.get`. */
  async attempt(request: GoogleRequest): Promise<IncomingMessage> {
    const { egress, tokens, endpoint } = this.#service;
    const send = async (token: string) =>
      await exchange(egress, {
        ...request,
        url: `${endpoint}${request.url}`,
        headers: { ...request.headers, authorization: `Bearer ${token}` },
      });
    const token = await tokens.get(request.signal);
    try {
      return await send(token);
    } catch (error) {
      if (!(error instanceof GoogleFailure) || error.status !== 401 || !tokens.forget(token)) throw error;
      return await send(await tokens.get(request.signal));
    }
  }

  /** For requests that have no effect when they are made twice. */
  async send(request: GoogleRequest): Promise<IncomingMessage> {
    return await retrying(request.signal, () => this.attempt(request));
  }

  /** As `send`. Throws storageProtocol when the answer is no JSON object. */
  async json(request: GoogleRequest): Promise<object> {
    return await retrying(request.signal, async () => readJson(await this.attempt(request), this.#service));
  }
}
