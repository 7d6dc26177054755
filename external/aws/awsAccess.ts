/** Credentials for clients of the AWS SDK: given keys, the machine's own, and roles that are assumed with either. Loaded in worker processes alone. */
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { type AssumedRole, type AwsAccess, stsEndpoint } from './awsUri.ts';
import { stsError } from './stsErrors.ts';

/** Keys that the SDK signs with. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

export type KeyProvider = () => Promise<AwsKeys>;

const connectMilliseconds = 5_000;
/** A silent server is given up after this; large answers and uploads that move never meet it. */
export const silentMilliseconds = 60_000;
export const attempts = 3;
/** For one role, all attempts together. The signal of a request does not reach here. */
const assumeMilliseconds = 10_000;
/** The SDK asks for new keys when the old ones end sooner. */
const freshMilliseconds = 300_000;
/** Keys that end sooner are not worked on with when fresh ones cannot be had. */
const usableMilliseconds = 30_000;

export interface AccessContext {
  readonly region: string;
  /** The URI's own endpoint. */
  readonly endpoint: string | undefined;
  readonly egress: Egress;
  /** What the other side's logs shall call us. */
  readonly sessionName: string;
}

/** How every client of ours goes outside. */
export function requestHandler(egress: Egress) {
  return {
    httpAgent: egress.httpAgent,
    httpsAgent: egress.httpsAgent,
    connectionTimeout: connectMilliseconds,
    socketTimeout: silentMilliseconds,
  };
}

/** The provider throws a PgPierError that says which step failed. */
export function keyProvider(access: AwsAccess, context: AccessContext): KeyProvider {
  const { credentials } = access;
  let provider: KeyProvider;
  if (credentials.kind === 'implicit') provider = machineKeys();
  else {
    const { kind: _, ...keys } = credentials;
    provider = async () => keys;
  }
  for (const role of access.roles) provider = assumedKeys(provider, role, context);
  return provider;
}

/**
 * Environment, profile, container or instance metadata, in the SDK's order. Without the agents of `egress.ts`, which refuse the metadata service to URIs: it is
 * the operator's environment that says where the machine's credentials are, and nothing of a URI gets into these requests. Made anew for each storage, so
 * that a profile that was rewritten counts.
 */
function machineKeys(): KeyProvider {
  const provider = defaultProvider({ ignoreCache: true, timeout: 2_000, maxRetries: 1 });
  return async () => {
    try {
      return await provider();
    } catch {
      // Its words name files and addresses of this machine.
      throw new PgPierError('storageCredentialsMissing');
    }
  };
}

function assumedKeys(caller: KeyProvider, role: AssumedRole, { region, endpoint, egress, sessionName }: AccessContext): KeyProvider {
  const place = stsEndpoint(endpoint);
  const client = new STSClient({
    region,
    credentials: caller,
    maxAttempts: attempts,
    requestHandler: requestHandler(egress),
    ...(place === undefined ? {} : { endpoint: place }),
  });
  const command = () =>
    new AssumeRoleCommand({
      RoleArn: role.arn,
      RoleSessionName: sessionName,
      ...(role.externalId === undefined ? {} : { ExternalId: role.externalId }),
    });
  return renewed(async () => {
    const signal = AbortSignal.timeout(assumeMilliseconds);
    const request = { role, endpoint: place ?? 'Amazon STS', signal };
    try {
      const { Credentials: keys } = await client.send(command(), { abortSignal: signal });
      if (!keys?.AccessKeyId || !keys.SecretAccessKey || !keys.SessionToken)
        throw new PgPierError('storageProtocol', { endpoint: request.endpoint, provider: 'STS', cause: 'no credentials' });
      return {
        accessKeyId: keys.AccessKeyId,
        secretAccessKey: keys.SecretAccessKey,
        sessionToken: keys.SessionToken,
        ...(keys.Expiration ? { expiration: keys.Expiration } : {}),
      };
    } catch (error) {
      throw stsError(error, request);
    }
  });
}

/**
 * Fresh keys when the old ones end soon. Work of hours does not end because they could not be had once, while the old ones are still good; it ends at
 * once where they are refused.
 */
function renewed(fetch: KeyProvider): KeyProvider {
  let held: AwsKeys | undefined;
  const left = () => (held?.expiration?.getTime() ?? 0) - Date.now();
  return async () => {
    if (held !== undefined && left() > freshMilliseconds) return held;
    try {
      held = await fetch();
    } catch (error) {
      const passing = error instanceof PgPierError && /^(08|53)/.test(error.data.sqlstate);
      if (held === undefined || !passing || left() < usableMilliseconds) throw error;
    }
    return held;
  };
}
