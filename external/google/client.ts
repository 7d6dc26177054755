/** Requests in the name of a login. */
import type { IncomingMessage } from 'node:http';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { refusesCredentials } from '../storage/refusedCredentials.ts';
import type { OtherCredentials } from '../storage/storage.ts';
import { exchange, GoogleFailure, type GoogleRequest, readJson, retrying } from './http.ts';
import type { GoogleTokens } from './tokens.ts';

/** Who asks, and by which sockets. */
export interface GoogleSession {
  readonly egress: Egress;
  readonly tokens: GoogleTokens;
}

export interface GoogleService {
  /** `https://host[:port]`. */
  readonly endpoint: string;
  /** What is there, for messages: `Google Cloud Storage`. */
  readonly provider: string;
}

/** Sets of credentials that one request tries after its first: those that an ALTER brought, the second set, and those of one more ALTER. */
const otherSets = 3;

export class GoogleClient {
  readonly #service: GoogleService;
  readonly #others: OtherCredentials;
  #session: GoogleSession;
  /** Those before; requests may be under way in them. */
  readonly #earlier: GoogleSession[] = [];

  constructor(service: GoogleService, session: GoogleSession, others: OtherCredentials = async () => false) {
    this.#service = service;
    this.#session = session;
    this.#others = others;
  }

  /** Once; again with other credentials where these are refused. `url` begins behind the endpoint. Throws as `exchange` and `GoogleTokens.get`. */
  async attempt(request: GoogleRequest): Promise<IncomingMessage> {
    for (let left = otherSets; ; left--) {
      const session = this.#session;
      try {
        return await this.#ask(session, request);
      } catch (error) {
        const refused = error instanceof GoogleFailure ? error.status === 401 : refusesCredentials(error);
        if (left === 0 || !refused) throw error;
        if (session === this.#session && !(await this.#others())) throw error;
      }
    }
  }

  /** Once more when a token that was kept is refused. */
  async #ask({ egress, tokens }: GoogleSession, request: GoogleRequest): Promise<IncomingMessage> {
    const send = async (token: string) =>
      await exchange(egress, {
        ...request,
        url: `${this.#service.endpoint}${request.url}`,
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

  /** What is asked from now on is asked by this one. */
  renew(session: GoogleSession): void {
    this.#earlier.push(this.#session);
    this.#session = session;
  }

  close(): void {
    for (const { egress } of [...this.#earlier, this.#session]) egress.close();
  }

  /** An answer that is none of this service's. */
  stranger(cause: string): PgPierError {
    return new PgPierError('storageProtocol', { ...this.#service, cause });
  }
}
