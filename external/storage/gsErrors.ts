/** What a refusal of Google Cloud Storage means. */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { googleError } from '../google/errors.ts';
import type { GoogleFailure } from '../google/http.ts';

export const provider = 'Google Cloud Storage';

export interface GsRequest {
  readonly operation: 'write' | 'read' | 'list' | 'delete';
  /** `gs://bucket/prefix`. */
  readonly location: string;
  /** `https://host:port`. */
  readonly endpoint: string;
  /** The object's path, for `does not exist`. */
  readonly path?: string;
  readonly signal?: AbortSignal | undefined;
  /** Whether the URI says who pays. */
  readonly billed: boolean;
}

export function gsError(error: unknown, request: GsRequest): PgPierError {
  return googleError(error, { ...request, provider }, (failure) => refusal(failure, request));
}

function refusal({ status, code, bucketMissing }: GoogleFailure, request: GsRequest): PgPierError | undefined {
  const { operation, location, path = '', billed } = request;
  const fail = (name: ErrorName) => new PgPierError(name, { operation, location, path, provider: 'gs' });
  switch (status) {
    case 400:
      return code === 'required' && !billed ? fail('gsBillingProjectNotSet') : undefined;
    case 403:
      return fail('storageAccessDenied');
    case 404: {
      // Only reading and deleting are about an object that may be missing.
      const objects = operation === 'read' || operation === 'delete';
      return fail(objects && !bucketMissing ? 'storageObjectMissing' : 'storageBucketMissing');
    }
    case 412:
      // Writing has one condition alone.
      return fail(operation === 'write' ? 'storageObjectExists' : 'storageChanged');
    case 413:
      return fail('storageTooLarge');
    default:
      return undefined;
  }
}
