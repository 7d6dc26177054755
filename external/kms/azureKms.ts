/**
 * An RSA key of Azure Key Vault, RSA-OAEP-256. Loaded in worker processes alone.
 *
 * Two requests of ours and not @azure/keyvault-keys: its CryptographyClient asks for the key first, for which a right more is needed, and refuses to decrypt with
 * one that has expired, which Azure itself does: backups are older than keys.
 */
import {
  bearerTokenAuthenticationPolicy,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  type HttpClient,
  type Pipeline,
  type PipelineResponse,
  RestError,
} from '@azure/core-rest-pipeline';
import { type ErrorName, PgPierError } from '../../errors.ts';
import { openTokenSource, type TokenSource } from '../azure/credentials.ts';
import { type AzureRequest, azureError } from '../azure/errors.ts';
import { azureHttpClient } from '../azure/httpClient.ts';
import { type Egress, openEgress } from '../egress.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { AzureKmsUri } from './azureKmsUri.ts';
import { type KeyService, longestPlaintext } from './keyService.ts';

const provider = 'Azure Key Vault';
const apiVersion = '7.4';
const algorithm = 'RSA-OAEP-256';
/** For one call, all attempts together. */
const callMilliseconds = 30_000;
/** A key of 4096 bits makes 512 bytes. */
const longestCiphertext = 1024;

export function openAzureKms(
  uri: AzureKmsUri,
  trusted: boolean,
  { allowedNetworks }: Pick<StorageSettings, 'allowedNetworks'>,
): KeyService {
  // A token is good for whoever gets it.
  if (uri.identity.kind === 'implicit' && uri.customEndpoint && !trusted)
    throw new PgPierError('implicitEndpoint', { parameter: 'AZURE_ENDPOINT' });
  return new AzureKms(uri, openEgress({ trusted, allowedNetworks }));
}

type Operation = 'encrypt' | 'decrypt';
type Options = { readonly signal?: AbortSignal };

class AzureKms implements KeyService {
  readonly location = 'azure-kms:///redacted';
  readonly keyId: string;
  readonly #service: string;
  readonly #egress: Egress;
  readonly #tokens: TokenSource;
  readonly #door: HttpClient;
  readonly #pipeline: Pipeline;

  constructor({ key, identity, environment, service }: AzureKmsUri, egress: Egress) {
    this.keyId = key;
    this.#service = service;
    this.#egress = egress;
    this.#door = azureHttpClient(egress);
    const scope = `https://${environment.vaultDomain}/.default`;
    this.#tokens = openTokenSource(identity, environment, egress, scope);
    this.#pipeline = createEmptyPipeline();
    this.#pipeline.addPolicy(bearerTokenAuthenticationPolicy({ credential: this.#tokens, scopes: scope }));
  }

  async encrypt(plaintext: Buffer, { signal }: Options = {}): Promise<Buffer> {
    if (plaintext.length === 0 || plaintext.length > longestPlaintext) throw new PgPierError('kmsPlaintext', { most: longestPlaintext });
    return await this.#call('encrypt', plaintext, signal);
  }

  async decrypt(ciphertext: Buffer, { signal }: Options = {}): Promise<Buffer> {
    if (ciphertext.length === 0 || ciphertext.length > longestCiphertext) throw new PgPierError('kmsCiphertext');
    return await this.#call('decrypt', ciphertext, signal);
  }

  async close(): Promise<void> {
    this.#tokens.close();
    this.#egress.close();
  }

  async #call(operation: Operation, value: Buffer, given: AbortSignal | undefined): Promise<Buffer> {
    const limit = AbortSignal.timeout(callMilliseconds);
    const signal = given ? AbortSignal.any([given, limit]) : limit;
    const request: AzureRequest = { operation, location: this.location, endpoint: this.#service, signal };
    try {
      const sent = createPipelineRequest({
        url: `${this.#service}/keys/${this.keyId}/${operation}?api-version=${apiVersion}`,
        method: 'POST',
        headers: createHttpHeaders({ 'content-type': 'application/json', accept: 'application/json' }),
        body: JSON.stringify({ alg: algorithm, value: value.toString('base64url') }),
        abortSignal: signal,
      });
      const answer = await this.#pipeline.sendRequest(this.#door, sent);
      if (answer.status !== 200) throw refusal(answer);
      const made = (readJson(answer) as { readonly value?: unknown } | undefined)?.value;
      if (typeof made !== 'string' || made === '')
        throw new PgPierError('storageProtocol', { endpoint: this.#service, provider, cause: 'no bytes' });
      return Buffer.from(made, 'base64url');
    } catch (error) {
      throw azureError(error, request, provider, operation === 'encrypt' ? whenEncrypting : whenDecrypting);
    }
  }
}

const byCode: Readonly<Record<string, ErrorName>> = {
  KeyNotFound: 'kmsNoSuchKey',
  Forbidden: 'kmsDenied',
  AccessDenied: 'kmsDenied',
  ForbiddenByPolicy: 'kmsDenied',
  ForbiddenByRbac: 'kmsDenied',
  ForbiddenByFirewall: 'kmsDenied',
  ForbiddenByConnection: 'kmsDenied',
  KeyDisabled: 'kmsKeyUnusable',
  KeyExpired: 'kmsKeyUnusable',
  KeyNotYetValid: 'kmsKeyUnusable',
  ObjectIsDeletedButRecoverable: 'kmsKeyUnusable',
  ObjectIsBeingDeleted: 'kmsKeyUnusable',
  Unauthorized: 'storageCredentialsRejected',
  Throttled: 'storageBusy',
};
const whenEncrypting = { ...byCode, BadParameter: 'kmsKeyKind', KeyTypeNotSupported: 'kmsKeyKind' } as const;
const whenDecrypting = { ...byCode, BadParameter: 'kmsCiphertext' } as const;

/** The innermost code: the outer one of a disabled key is Forbidden. */
function refusal(response: PipelineResponse): RestError {
  const { error } = (readJson(response) ?? {}) as { readonly error?: Coded };
  const code = [error?.innererror?.code, error?.code].find((each) => typeof each === 'string' && each !== '');
  return new RestError('refused', { statusCode: response.status, response, ...(code === undefined ? {} : { code }) });
}

interface Coded {
  readonly code?: string;
  readonly innererror?: Coded;
}

function readJson({ bodyAsText }: PipelineResponse): object | undefined {
  try {
    const value: unknown = JSON.parse(bodyAsText ?? '');
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
