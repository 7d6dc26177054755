/** Tokens of Microsoft Entra ID, asked for through the judged door. Loads @azure/identity: workers alone. */
import type { AccessToken, GetTokenOptions, TokenCredential } from '@azure/core-auth';
import {
  ChainedTokenCredential,
  ClientSecretCredential,
  type ClientSecretCredentialOptions,
  EnvironmentCredential,
  ManagedIdentityCredential,
  WorkloadIdentityCredential,
} from '@azure/identity';
import { type Egress, openEgress } from '../egress.ts';
import { orAborted } from '../orAborted.ts';
import { type AzureEnvironment, authorityOf } from './environments.ts';
import { TokenFailure } from './errors.ts';
import { azureHttpClient } from './httpClient.ts';
import type { AzureIdentity } from './identity.ts';

/** For one token, all attempts together. */
const tokenMilliseconds = 30_000;

export interface TokenSource extends TokenCredential {
  close(): void;
}

/**
 * @param egress judges what a service principal's requests reach
 * @param scope what the tokens are for. Whatever a server asks for in a challenge, it gets no token for anything else, and of no other tenant.
 */
export function openTokenSource(identity: AzureIdentity, environment: AzureEnvironment, egress: Egress, scope: string): TokenSource {
  const own = identity.kind === 'implicit' ? openMachineEgress() : undefined;
  const authorityHost = authorityOf(environment, process.env.AZURE_AUTHORITY_HOST);
  const door = azureHttpClient(own ?? egress);
  // The SDK says that something failed, and forgets what.
  let failed: unknown;
  const options: ClientSecretCredentialOptions = {
    httpClient: {
      async sendRequest(request) {
        try {
          return await door.sendRequest(request);
        } catch (error) {
          if (request.url.startsWith(authorityHost)) failed = error;
          throw error;
        }
      },
    },
    authorityHost,
    // The authority is one of Microsoft's known ones, or the operator's: nobody else needs to be asked about it.
    disableInstanceDiscovery: true,
    // The door tries again itself.
    retryOptions: { maxRetries: 0 },
    redirectOptions: { maxRetries: 0 },
  };
  const credential =
    identity.kind === 'implicit'
      ? machineCredential(options)
      : new ClientSecretCredential(identity.tenantId, identity.clientId, identity.clientSecret, options);
  return {
    async getToken(_asked: string | string[], { abortSignal }: GetTokenOptions = {}): Promise<AccessToken | null> {
      failed = undefined;
      // The libraries below take a signal and do not hear it.
      const limit = AbortSignal.timeout(tokenMilliseconds);
      const signal = abortSignal ? AbortSignal.any([abortSignal as AbortSignal, limit]) : limit;
      try {
        return await orAborted(credential.getToken(scope), signal);
      } catch (error) {
        throw new TokenFailure(identity.kind, authorityHost, error, failed ?? (limit.aborted ? limit.reason : undefined));
      }
    },
    close: () => own?.close(),
  };
}

/**
 * Where the machine's own credentials are asked for is written in its environment or in the SDK, never in a URI; on Azure it is a metadata service
 * (169.254.169.254), or a port of this machine.
 */
function openMachineEgress(): Egress {
  return openEgress({ trusted: true, allowedNetworks: [], machineMetadata: true });
}

/** DefaultAzureCredential without what belongs to a developer's desk: no command line tool is started. */
function machineCredential(options: ClientSecretCredentialOptions): TokenCredential {
  const clientId = process.env.AZURE_CLIENT_ID;
  return new ChainedTokenCredential(
    new EnvironmentCredential(options),
    ...(process.env.AZURE_FEDERATED_TOKEN_FILE ? [new WorkloadIdentityCredential(options)] : []),
    clientId ? new ManagedIdentityCredential({ ...options, clientId }) : new ManagedIdentityCredential(options),
  );
}
