/** What a `gcpubsub://` URI says (spec: cockroachdb §3.3). Pure. */
import { PgPierError } from '../../errors.ts';
import { checkAllowed, type GoogleLogin, readLogin } from '../google/login.ts';
import { endpointParameter, takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

export interface PubsubUri {
  readonly project: string;
  /** Where all messages go; without it each table's go to a topic of its own. */
  readonly topic?: string;
  readonly login: GoogleLogin;
  /** An absolute `http(s)://host[:port]` that is not Google's. */
  readonly endpoint?: string;
  readonly region?: string;
}

/** @throws PgPierError 22023; 42501 for what the operator forbids */
export function parsePubsubUri(
  uri: ExternalUri,
  settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>,
): PubsubUri {
  const given = takeParameters(uri, 'pubsub sink', ['region', 'topic_name', 'AUTH', 'CREDENTIALS', 'ASSUME_ROLE', 'GOOGLE_ENDPOINT']);
  if (uri.userinfo !== undefined || uri.path.replace('/', '') !== '')
    throw new PgPierError('invalidUri', { reason: 'a gcpubsub URI has a project alone before the "?"' });
  if (!/^[\w.:-]{1,100}$/.test(uri.host)) throw new PgPierError('pubsubProject');
  if (given.topic_name === '') throw new PgPierError('parameterEmpty', { parameter: 'topic_name' });
  // Google's rule for names.
  if (given.topic_name !== undefined && !/^(?!goog)[A-Za-z][\w.~+%-]{2,254}$/.test(given.topic_name)) {
    const must =
      'be the name of a topic: 3 to 255 letters, digits and "-", "_", ".", "~", "+", "%", of which the first is a letter, and not "goog"';
    throw new PgPierError('parameterInvalid', { parameter: 'topic_name', must });
  }
  if (given.region && !/^[a-z0-9-]{1,63}$/.test(given.region))
    throw new PgPierError('parameterInvalid', { parameter: 'region', must: 'be the name of a region, such as europe-west3' });
  const login = readLogin(given, 'gsCredentialsNotSet');
  const endpoint = endpointParameter('GOOGLE_ENDPOINT', given.GOOGLE_ENDPOINT);
  checkAllowed({ login, endpoint, provider: 'gcpubsub' }, settings);
  return {
    project: uri.host,
    ...(given.topic_name === undefined ? {} : { topic: given.topic_name }),
    login,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(given.region ? { region: given.region } : {}),
  };
}

/** Where its API is: the region's own address, where messages of one key keep their order, or the one of all. */
export function endpointOf({ endpoint, region }: PubsubUri): string {
  return endpoint ?? `https://${region === undefined ? '' : `${region}-`}pubsub.googleapis.com`;
}
