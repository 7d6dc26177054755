/** `gcpubsub://`: Google Cloud Pub/Sub by its JSON API. Loaded in worker processes alone. */
import { PgPierError } from '../../errors.ts';
import { openEgress } from '../egress.ts';
import { GoogleClient } from '../google/client.ts';
import { googleError } from '../google/errors.ts';
import { GoogleFailure, type GoogleRequest } from '../google/http.ts';
import { keepAmbientTokens } from '../google/login.ts';
import { openTokens } from '../google/tokens.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { endpointOf, type PubsubUri } from './pubsubUri.ts';
import type { Sink, SinkDescription, SinkProbe } from './sink.ts';

const scope = 'https://www.googleapis.com/auth/pubsub';
const provider = 'Google Cloud Pub/Sub';
const probeTopic = 'pgpier_check';
/** For one request. */
const requestMilliseconds = 30_000;
const pageSize = 1000;

type Options = { readonly signal?: AbortSignal };

export function openPubsub(uri: PubsubUri, trusted: boolean, settings: Pick<StorageSettings, 'allowedNetworks'>): Sink {
  return new Pubsub(uri, trusted, settings);
}

class Pubsub implements Sink {
  readonly location: string;
  readonly #uri: PubsubUri;
  readonly #endpoint: string;
  readonly #client: GoogleClient;

  constructor(uri: PubsubUri, trusted: boolean, { allowedNetworks }: Pick<StorageSettings, 'allowedNetworks'>) {
    this.location = `gcpubsub://${uri.project}`;
    keepAmbientTokens(uri, trusted);
    this.#uri = uri;
    this.#endpoint = endpointOf(uri);
    const egress = openEgress({ trusted, allowedNetworks });
    const tokens = openTokens(uri.login, { egress, location: this.location, scope });
    this.#client = new GoogleClient({ endpoint: this.#endpoint, provider }, { egress, tokens });
  }

  async describe({ signal }: Options = {}): Promise<SinkDescription> {
    const { project, topic } = this.#uri;
    if (topic !== undefined) {
      const found = await this.#find(topic, signal);
      return { summary: found ? `topic "${topic}" of project ${project}` : `project ${project}, no topic "${topic}" yet` };
    }
    const page = await this.#ask('list topics', { method: 'GET', url: `/v1/projects/${project}/topics?pageSize=${pageSize}`, signal });
    const { topics = [], nextPageToken } = page as { topics?: unknown; nextPageToken?: unknown };
    if (!Array.isArray(topics)) throw this.#client.stranger('no list of topics');
    const count = `${topics.length}${nextPageToken ? ' or more' : ''}`;
    return { summary: `project ${project} with ${count} ${count === '1' ? 'topic' : 'topics'}` };
  }

  /** To a topic of its own, which is made if need be, and then removed: a topic of the user's gets nothing that the user did not send. */
  async probe({ signal }: Options = {}): Promise<SinkProbe> {
    const started = performance.now();
    const data = JSON.stringify({ pgpier_check: { sent: new Date().toISOString() } });
    const made = !(await this.#find(probeTopic, signal)) && (await this.#make(probeTopic, signal));
    let removed = false;
    try {
      await this.#publish(probeTopic, data, signal);
    } finally {
      if (made) removed = await this.#remove(probeTopic);
    }
    const fate = made ? `, which was created for it and ${removed ? 'is gone again' : 'stays'}` : '';
    return { where: `topic "${probeTopic}"${fate}`, bytes: Buffer.byteLength(data), milliseconds: performance.now() - started };
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #publish(topic: string, text: string, signal: AbortSignal | undefined): Promise<void> {
    const body = JSON.stringify({ messages: [{ data: Buffer.from(text).toString('base64') }] });
    const answer = await this.#ask(`write to topic "${topic}"`, { ...post, url: `${this.#path(topic)}:publish`, body, signal });
    if (!Array.isArray((answer as { messageIds?: unknown }).messageIds)) throw this.#client.stranger('no message id');
  }

  async #find(topic: string, signal: AbortSignal | undefined): Promise<boolean> {
    const operation = `see topic "${topic}"`;
    return await this.#unless(404, operation, { method: 'GET', url: this.#path(topic), signal });
  }

  /** False where somebody else has made it meanwhile. */
  async #make(topic: string, signal: AbortSignal | undefined): Promise<boolean> {
    const operation = `create topic "${topic}"`;
    return await this.#unless(409, operation, { ...post, method: 'PUT', url: this.#path(topic), body: '{}', signal });
  }

  /** Also after a cancel: that ends what was asked for, not what is to be tidied. */
  async #remove(topic: string): Promise<boolean> {
    const request: GoogleRequest = { method: 'DELETE', url: this.#path(topic), milliseconds: requestMilliseconds };
    return await this.#client.json(request).then(
      () => true,
      () => false,
    );
  }

  /** Whether it succeeded, rather than being refused with this status and a code of Google's. */
  async #unless(status: number, operation: string, request: GoogleRequest): Promise<boolean> {
    try {
      await this.#client.json({ ...request, milliseconds: requestMilliseconds });
      return true;
    } catch (error) {
      if (error instanceof GoogleFailure && error.status === status && error.code !== undefined) return false;
      throw this.#told(error, operation, request.signal);
    }
  }

  async #ask(operation: string, request: GoogleRequest): Promise<object> {
    try {
      return await this.#client.json({ ...request, milliseconds: requestMilliseconds });
    } catch (error) {
      throw this.#told(error, operation, request.signal);
    }
  }

  #told(error: unknown, operation: string, signal: AbortSignal | undefined): PgPierError {
    const { location } = this;
    return googleError(error, { operation, location, endpoint: this.#endpoint, provider, signal }, ({ status, code }) => {
      if (code === undefined) return undefined;
      if (status === 403) return new PgPierError('storageAccessDenied', { operation, location });
      if (status === 404) return new PgPierError('pubsubMissing', { location });
      return undefined;
    });
  }

  #path(topic: string): string {
    return `/v1/projects/${this.#uri.project}/topics/${encodeURIComponent(topic)}`;
  }
}

const post = { method: 'POST', headers: { 'content-type': 'application/json' } } as const;
