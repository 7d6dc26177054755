/** `webhook-https://`: an endpoint that takes messages as POSTs. Loaded in worker processes alone. */
import { type Egress, openEgress } from '../egress.ts';
import type { HttpEndpoint } from '../storage/httpUri.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type HttpRequest, refusal, sendRequest, shakeHands } from './httpRequest.ts';
import type { Sink, SinkDescription, SinkProbe } from './sink.ts';

const requestMilliseconds = 10_000;

/** What a changefeed sends when nothing has changed: an endpoint that does its part does nothing with it (spec: cockroachdb §6.4). */
export const probeBody = '{"payload":[],"length":0}';

type Options = { readonly signal?: AbortSignal };

export function openWebhook(endpoint: HttpEndpoint, trusted: boolean, settings: StorageSettings): Sink {
  const egress = openEgress({ trusted, allowedNetworks: settings.allowedNetworks }, endpoint.tls);
  return new WebhookSink(endpoint, egress);
}

class WebhookSink implements Sink {
  readonly location: string;
  readonly #endpoint: HttpEndpoint;
  readonly #egress: Egress;

  constructor(endpoint: HttpEndpoint, egress: Egress) {
    this.location = `webhook-${endpoint.origin}`;
    this.#endpoint = endpoint;
    this.#egress = egress;
  }

  async describe({ signal }: Options = {}): Promise<SinkDescription> {
    return { summary: `an endpoint that speaks ${await shakeHands(this.#request(signal), this.#egress)}` };
  }

  async probe({ signal }: Options = {}): Promise<SinkProbe> {
    const started = performance.now();
    const answer = await sendRequest({ ...this.#request(signal), body: probeBody }, this.#egress);
    const refused = refusal(answer, this.location, 'post');
    if (refused) throw refused;
    return { where: this.location, bytes: Buffer.byteLength(probeBody), milliseconds: performance.now() - started };
  }

  async close(): Promise<void> {
    this.#egress.close();
  }

  #request(signal: AbortSignal | undefined): HttpRequest {
    const { origin, base, query, credentials } = this.#endpoint;
    return {
      url: `${origin}${base || '/'}${query}`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      milliseconds: requestMilliseconds,
      provider: 'a webhook',
      signal,
      ...(credentials && { login: credentials }),
    };
  }
}
