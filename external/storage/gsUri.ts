/** What a `gs://` URI says. Pure: the relay validates with this and never loads a library of Google's. */
import { PgPierError } from '../../errors.ts';
import { checkAllowed, type GoogleLogin, loginParameters, readLogin } from '../google/login.ts';
import { cleanPath, type ExternalUri } from '../uri.ts';
import { endpointParameter, takeParameters } from './parameters.ts';
import type { StorageSettings } from './storage.ts';

export interface GsUri {
  readonly bucket: string;
  /** Name prefix without slashes around it; empty for the whole bucket. */
  readonly prefix: string;
  readonly login: GoogleLogin;
  /** An absolute `http(s)://host[:port]`. */
  readonly endpoint?: string;
  /** The project that pays for the requests. */
  readonly billingProject?: string;
}

/** @throws PgPierError with CockroachDB's words. */
export function parseGsUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>): GsUri {
  const given = takeParameters(uri, 'GS', [...loginParameters, 'GOOGLE_BILLING_PROJECT', 'GOOGLE_ENDPOINT']);
  if (uri.host === '') throw new PgPierError('bucketNotSet', { provider: 'gs', bucket: 'bucket' });
  if (uri.userinfo !== undefined) throw new PgPierError('invalidUri', { reason: 'a gs URI has no user before the bucket' });
  const login = readLogin(given, 'gsCredentialsNotSet');
  const endpoint = endpointParameter('GOOGLE_ENDPOINT', given.GOOGLE_ENDPOINT);
  checkAllowed({ login, endpoint, provider: 'gs' }, settings);
  const billingProject = given.GOOGLE_BILLING_PROJECT;
  if (billingProject && !/^[\w.:-]{1,100}$/.test(billingProject)) throw new PgPierError('gsBillingProject');
  return {
    bucket: uri.host,
    prefix: cleanPath(uri.path).slice(1),
    login,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(billingProject ? { billingProject } : {}),
  };
}
