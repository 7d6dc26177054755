/** `PGPIER_AUTH` into how passwords are carried: what was asked for, or the strongest that this configuration allows. */
import type { Config } from './config.ts';
import type { ConnectionTarget } from './configuration/connectionUri.ts';
import type { Log } from './log.ts';
import type { AuthMethod, AuthPolicy, Verifiers } from './login/listenerOptions.ts';

export const authSettings = ['auto', 'scram', 'password', 'passthrough', 'cert'] as const;
export type AuthSetting = (typeof authSettings)[number];

export interface AuthBackend {
  readonly target: ConnectionTarget;
  readonly verifiers: AuthCircumstances['verifiers'];
  /** The embedded server without a password. */
  readonly passwordless: boolean;
}

export async function decideAuthPolicy(config: Config, { target, verifiers, passwordless }: AuthBackend, log: Log): Promise<AuthPolicy> {
  const circumstances: AuthCircumstances = {
    setting: config.auth,
    clientTls: config.tls !== undefined,
    backendTls: !target.host.startsWith('/') && target.sslmode !== 'disable' && target.sslmode !== 'allow',
    role: target.user,
    verifiers,
  };
  return {
    method: await decideAuthMethod(circumstances, log),
    trustedBackend: config.trustBackend || passwordless,
    loopbackOnly: passwordless,
    certificateNamesRole: config.auth === 'cert',
  };
}

export interface AuthCircumstances {
  readonly setting: AuthSetting;
  readonly clientTls: boolean;
  /** The connection to the backend may be encrypted, as its sslmode has it. */
  readonly backendTls: boolean;
  /** PgPier's own role at the backend. */
  readonly role: string;
  readonly verifiers: Verifiers & { mayRead(): Promise<boolean> };
}

/**
 * @throws Error in words for the person who starts it, where `scram` was asked for and cannot be
 */
export async function decideAuthMethod(circumstances: AuthCircumstances, log: Log): Promise<AuthMethod> {
  const { setting, clientTls, backendTls, role, verifiers } = circumstances;
  const chosen = (method: AuthMethod, why: string): AuthMethod => {
    log.info({ auth: method.kind }, `passwords: ${method.kind}, ${why}`);
    return method;
  };
  switch (setting) {
    case 'passthrough':
    case 'password':
      return chosen({ kind: setting }, 'as set');
    case 'scram':
      if (!(await verifiers.mayRead())) throw new Error(`PGPIER_AUTH=scram needs password verifiers, and ${unreadable(role)}`);
      return chosen({ kind: 'scram', verifiers, only: true }, 'as set');
    case 'auto':
    case 'cert':
      if (!clientTls && !backendTls) return chosen({ kind: 'passthrough' }, 'as neither connection uses TLS: the exchange is relayed');
      if (await verifiers.mayRead()) {
        return chosen(
          { kind: 'scram', verifiers, only: false },
          `with channel binding where a connection uses TLS, as "${role}" may read verifiers`,
        );
      }
      if (clientTls && backendTls) {
        return chosen({ kind: 'password' }, `in clear inside the client's TLS, as both connections use TLS and ${unreadable(role)}`);
      }
      return chosen({ kind: 'passthrough' }, `as one connection alone uses TLS and ${unreadable(role)}`);
  }
}

function unreadable(role: string): string {
  return `"${role}" may not read them (GRANT SELECT (rolname, rolpassword) ON pg_catalog.pg_authid TO "${role.replaceAll('"', '""')}")`;
}
