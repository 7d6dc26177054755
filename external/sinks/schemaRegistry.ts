/** `http://` and `https://` as connections: a Confluent schema registry, or what speaks its language. Loaded in worker processes alone. */
import { PgPierError } from '../../errors.ts';
import { type Egress, openEgress } from '../egress.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { refusal, sendRequest } from './httpRequest.ts';
import type { SchemaRegistryUri } from './schemaRegistryUri.ts';
import type { Sink, SinkDescription, SinkProbe } from './sink.ts';

type Options = { readonly signal?: AbortSignal };

const provider = 'a schema registry';

export function openSchemaRegistry(uri: SchemaRegistryUri, trusted: boolean, settings: StorageSettings): Sink {
  const egress = openEgress({ trusted, allowedNetworks: settings.allowedNetworks }, uri.tls);
  return new SchemaRegistry(uri, egress);
}

class SchemaRegistry implements Sink {
  readonly location: string;
  readonly #uri: SchemaRegistryUri;
  readonly #egress: Egress;

  constructor(uri: SchemaRegistryUri, egress: Egress) {
    this.location = uri.origin;
    this.#uri = uri;
    this.#egress = egress;
  }

  async describe({ signal }: Options = {}): Promise<SinkDescription> {
    const subjects = await this.#ask('GET', 'subjects', undefined, signal);
    if (!Array.isArray(subjects)) throw this.#stranger('no list of subjects');
    return { summary: `a schema registry with ${subjects.length} ${subjects.length === 1 ? 'subject' : 'subjects'}` };
  }

  /** Asks for a schema that no registry has: the one POST that leaves nothing. What is registered can be deleted, but its id stays taken. */
  async probe({ signal }: Options = {}): Promise<SinkProbe> {
    const started = performance.now();
    const body = JSON.stringify({ schema: '"null"' });
    await this.#ask('POST', 'subjects/pgpier_check', body, signal);
    return {
      where: 'subject "pgpier_check", where it left nothing',
      bytes: Buffer.byteLength(body),
      milliseconds: performance.now() - started,
    };
  }

  async close(): Promise<void> {
    this.#egress.close();
  }

  /** The answer's JSON. A subject or schema that does not exist is an answer too: 404 with one of the registry's own codes. */
  async #ask(method: 'GET' | 'POST', path: string, body: string | undefined, signal: AbortSignal | undefined): Promise<unknown> {
    const { origin, base, credentials, timeoutMilliseconds } = this.#uri;
    const accept = 'application/vnd.schemaregistry.v1+json, application/json';
    const answer = await sendRequest(
      {
        url: `${origin}${base}/${path}`,
        method,
        headers: { accept, ...(body === undefined ? {} : { 'content-type': 'application/vnd.schemaregistry.v1+json' }) },
        milliseconds: timeoutMilliseconds,
        provider,
        signal,
        ...(credentials && { login: credentials }),
        ...(body === undefined ? {} : { body }),
      },
      this.#egress,
    );
    const value = readJson(answer.body);
    const code = (value as { error_code?: unknown } | undefined)?.error_code;
    if (answer.status === 404 && (code === 40401 || code === 40403)) return value;
    const refused = refusal(answer, this.location, method === 'GET' ? 'list subjects' : 'look a schema up');
    if (refused) throw refused;
    if (value === undefined) throw this.#stranger('not JSON');
    return value;
  }

  #stranger(cause: string): PgPierError {
    return new PgPierError('storageProtocol', { endpoint: this.location, provider, cause });
  }
}

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
