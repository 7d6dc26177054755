/** The token of SASL OAUTHBEARER: asked for with the client's credentials (RFC 6749 §4.4), kept until shortly before it ends. */
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { type HttpAnswer, refusal, sendRequest } from './httpRequest.ts';
import type { KafkaSasl } from './kafkaSasl.ts';

type OAuth = Extract<KafkaSasl, { mechanism: 'OAUTHBEARER' }>;

const requestMilliseconds = 5_000;
/** Before its end a token may be on its way. */
const marginMilliseconds = 10_000;
const provider = 'an OAuth token server';

export class OAuthToken {
  readonly #oauth: OAuth;
  readonly #egress: Egress;
  #kept: { readonly value: string; readonly until: number } | undefined;

  constructor(oauth: OAuth, egress: Egress) {
    this.#oauth = oauth;
    this.#egress = egress;
  }

  /** @throws PgPierError 28000 refused credentials, 08xxx out of reach or no token server */
  async value(): Promise<string> {
    if (this.#kept !== undefined && Date.now() < this.#kept.until) return this.#kept.value;
    const { clientId, clientSecret } = this.#oauth;
    // The two ways of RFC 6749 §2.3.1: servers take one or the other.
    let answer = await this.#ask({}, { user: encodeURIComponent(clientId), password: encodeURIComponent(clientSecret) });
    if (answer.status === 400 || answer.status === 401) answer = await this.#ask({ client_id: clientId, client_secret: clientSecret });
    const { origin } = new URL(this.#oauth.tokenUrl);
    if (answer.status === 400) throw new PgPierError('storageCredentialsRejected', { location: origin, cause: 'HTTP 400' });
    const refused = refusal(answer, origin, 'ask for a token');
    if (refused) throw refused;
    this.#kept = readToken(answer, origin);
    return this.#kept.value;
  }

  async #ask(credentials: Readonly<Record<string, string>>, login?: { user: string; password: string }): Promise<HttpAnswer> {
    const { tokenUrl, grantType, scopes } = this.#oauth;
    const form = { grant_type: grantType, ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }), ...credentials };
    const request = {
      url: tokenUrl,
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
      milliseconds: requestMilliseconds,
      provider,
      ...(login === undefined ? {} : { login }),
    } as const;
    return await sendRequest(request, this.#egress);
  }
}

function readToken({ body }: HttpAnswer, endpoint: string): { value: string; until: number } {
  try {
    const { access_token: value, expires_in: seconds } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    // What RFC 6750 allows: anything else would end the SASL message early.
    if (typeof value === 'string' && /^[A-Za-z0-9\-._~+/]+=*$/.test(value)) {
      const lasts = Number.isFinite(Number(seconds)) ? Number(seconds) * 1000 : 0;
      return { value, until: Date.now() + lasts - marginMilliseconds };
    }
  } catch {
    // Said below.
  }
  throw new PgPierError('storageProtocol', { endpoint, provider, cause: 'no access_token' });
}
