/** One set of credentials for a bucket, and the SDK's client that signs with it. Loaded in worker processes alone. */
import { HeadBucketCommand, ListObjectsV2Command, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { attempts, type KeyProvider, keyProvider, requestHandler } from '../aws/awsAccess.ts';
import { type Egress, openEgress } from '../egress.ts';
import { orAborted } from '../orAborted.ts';
import { refusesCredentials } from './refusedCredentials.ts';
import { type S3Request, s3Error } from './s3Errors.ts';
import type { S3Uri } from './s3Uri.ts';
import type { StorageSettings } from './storage.ts';

const askMilliseconds = 5_000;
/** Where to ask for the region of a bucket or, for stores that have none, for everything. */
const anyRegion = 'us-east-1';

export class S3Session {
  readonly uri: S3Uri;
  readonly #egress: Egress;
  readonly #keys: KeyProvider;
  #client: Promise<S3Client> | undefined;

  constructor(uri: S3Uri, trusted: boolean, { allowedNetworks, nodeId }: StorageSettings) {
    this.uri = uri;
    const egress = openEgress({ trusted, allowedNetworks }, { skipVerify: uri.skipTlsVerify });
    this.#egress = egress;
    const sessionName = `pgpier-${nodeId}`;
    this.#keys = keyProvider(uri.access, { region: uri.region ?? anyRegion, endpoint: uri.endpoint, egress, sessionName });
  }

  /** The client is made at the first request, because the bucket's region may have to be asked for. */
  async open(request: S3Request): Promise<S3Client> {
    try {
      this.#client ??= this.#connect(request);
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw s3Error(error, request);
    }
  }

  /** Whether the store refuses these credentials to the simplest request; false also where that cannot be told. */
  async isRefused(request: S3Request): Promise<boolean> {
    try {
      const abortSignal = AbortSignal.timeout(askMilliseconds);
      await (await this.open(request)).send(new ListObjectsV2Command({ Bucket: this.uri.bucket, MaxKeys: 1 }), { abortSignal });
      return false;
    } catch (error) {
      return refusesCredentials(s3Error(error, request));
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    client?.destroy();
    this.#egress.close();
  }

  async #connect(request: S3Request): Promise<S3Client> {
    // Here and not at the SDK's first signature, where the signal would not end the wait.
    await orAborted(this.#keys(), request.signal);
    if (this.uri.region !== undefined) return new S3Client(this.#config(this.uri.region));
    const client = new S3Client(this.#config(anyRegion));
    const region = await bucketRegion(client, this.uri.bucket, request);
    return region === undefined || region === anyRegion ? client : new S3Client(this.#config(region));
  }

  #config(region: string): S3ClientConfig {
    const { endpoint, skipChecksum } = this.uri;
    const checksums = skipChecksum ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
    return {
      region,
      credentials: this.#keys,
      maxAttempts: attempts,
      forcePathStyle: this.uri.pathStyle,
      requestChecksumCalculation: checksums,
      responseChecksumValidation: checksums,
      requestHandler: requestHandler(this.#egress),
      ...(endpoint === undefined ? {} : { endpoint }),
    };
  }
}

/** S3 names the region in a header of whatever it answers, refusals included; other stores name none, and any region will do. */
async function bucketRegion(client: S3Client, Bucket: string, request: S3Request): Promise<string | undefined> {
  const deadline = AbortSignal.timeout(askMilliseconds);
  const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline;
  try {
    return (await client.send(new HeadBucketCommand({ Bucket }), { abortSignal: signal })).BucketRegion;
  } catch (error) {
    const response = (error as { $response?: { statusCode?: number; headers?: Record<string, string> } }).$response;
    if (response?.statusCode === undefined) throw s3Error(error, { ...request, signal });
    const region = response.headers?.['x-amz-bucket-region'];
    return region !== undefined && /^[a-z0-9-]{1,63}$/.test(region) ? region : undefined;
  }
}
