/** One set of credentials for a container, and the SDK's client that uses them. Loaded in worker processes alone. */
import { ContainerClient, newPipeline, StorageSharedKeyCredential } from '@azure/storage-blob';
import { PgPierError } from '../../errors.ts';
import { openTokenSource, type TokenSource } from '../azure/credentials.ts';
import { azureHttpClient } from '../azure/httpClient.ts';
import { type Egress, openEgress } from '../egress.ts';
import { storageHttpClient } from './azureClient.ts';
import type { AzureUri } from './azureUri.ts';
import type { StorageSettings } from './storage.ts';

/** Tokens for blob services, in every cloud. */
const storageScope = 'https://storage.azure.com/.default';

export class AzureSession {
  readonly container: ContainerClient;
  readonly #egress: Egress;
  readonly #tokens: TokenSource | undefined;

  constructor(uri: AzureUri, trusted: boolean, { allowedNetworks }: StorageSettings) {
    const { container, account, credentials, environment, service } = uri;
    // A token, unlike a signature, is good for whoever gets it.
    if (credentials.kind === 'implicit' && uri.customEndpoint && !trusted)
      throw new PgPierError('implicitEndpoint', { parameter: 'AZURE_ENDPOINT' });
    this.#egress = openEgress({ trusted, allowedNetworks });
    this.#tokens = credentials.kind === 'key' ? undefined : openTokenSource(credentials, environment, this.#egress, storageScope);
    const credential = credentials.kind === 'key' ? new StorageSharedKeyCredential(account, credentials.accountKey) : this.#tokens!;
    const pipeline = newPipeline(credential, {
      httpClient: storageHttpClient(azureHttpClient(this.#egress)),
      // The door tries again itself, with jitter.
      retryOptions: { maxTries: 1 },
    });
    this.container = new ContainerClient(`${service}/${encodeURIComponent(container)}`, pipeline);
  }

  close(): void {
    this.#tokens?.close();
    this.#egress.close();
  }
}
