/** What a `gcp-kms://` URI says, or a `gs://` one where a KMS URI is expected (spec: cockroachdb §3.2). Pure. */
import { PgPierError } from '../../errors.ts';
import { checkAllowed, type GoogleLogin, loginParameters, readLogin } from '../google/login.ts';
import { endpointParameter, takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

export interface GcpKmsUri {
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K`. */
  readonly key: string;
  readonly login: GoogleLogin;
  /** An absolute `http(s)://host[:port]`. */
  readonly endpoint?: string;
}

/** Of Google's own alphabets: a project may be `example.com:name`. */
const keyPath =
  /^\/(projects\/[\w.:-]{1,100}\/locations\/[\w-]{1,63}\/keyRings\/[\w-]{1,63}\/cryptoKeys\/[\w-]{1,63})(\/cryptoKeyVersions\/\d+)?$/;

/** @throws PgPierError 22023 with CockroachDB's words where it has some; 42501 for what the operator forbids */
export function parseGcpKmsUri(
  uri: ExternalUri,
  settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>,
): GcpKmsUri {
  const given = takeParameters(uri, 'KMS', [...loginParameters, 'GOOGLE_ENDPOINT']);
  if (uri.host !== '' || uri.userinfo !== undefined)
    throw new PgPierError('invalidUri', { reason: 'a GCP KMS URI has no host: gcp-kms:///projects/…, with three slashes' });
  if (uri.path.replace(/^\//, '') === '') throw new PgPierError('kmsKeyMissing');
  // A version that encrypts is Google's choice, and one that decrypts stands in the ciphertext.
  const [, key] = keyPath.exec(uri.path) ?? [];
  if (key === undefined) throw new PgPierError('gcpKmsKeyInvalid');
  const login = readLogin(given, 'gcpCredentialsNotSet');
  const endpoint = endpointParameter('GOOGLE_ENDPOINT', given.GOOGLE_ENDPOINT);
  checkAllowed({ login, endpoint, provider: 'gcp kms' }, settings);
  return { key, login, ...(endpoint === undefined ? {} : { endpoint }) };
}
