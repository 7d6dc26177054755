/** What the listener is told at start (server/config.ts makes these from flags, environment and file). */
import type * as net from 'node:net';
import type { ScramVerifier } from '../../protocol/scram/verifier.ts';
import type { NativeLinks } from '../native/nativeLinks.ts';
import type { ClientLimits } from './clientLimits.ts';
import type { StartSession } from './loggedIn.ts';
import type { Peers } from './peers.ts';

/** libpq's meaning of each, except that `allow` does not try again with TLS; ignored for a unix socket, as in libpq. */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Where the real PostgreSQL is. */
export interface BackendTarget {
  /** A name, an address, or the directory of a unix socket (begins with `/`). */
  readonly host: string;
  readonly port: number;
  readonly sslmode: SslMode;
  /** PEM text of the authorities that `verify-ca` and `verify-full` trust; without it those that Node trusts. */
  readonly sslrootcert?: string;
  /** Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** As the listener's. */
  readonly keepAliveMs?: number;
}

/** Where there are several, or one that must be of a kind (hosts/hostChoice.ts). */
export interface Hosts {
  /** Rejects with PgPierError `backendUnreachable`. */
  choose(): Promise<{ readonly host: string; readonly port: number }>;
  /** A connection to it failed, or it turned out to be of another kind than it said. */
  failed(host: { readonly host: string; readonly port: number }): void;
  /** What a login was told (`in_hot_standby`, from PostgreSQL 14 on) speaks against the choice: the host changed in between. */
  contradicts(parameters: ReadonlyMap<string, string>): boolean;
}

/** Where password verifiers are read, at every login anew. */
export interface Verifiers {
  /** Undefined: there is no such role, or it has no SCRAM verifier. Rejects with PgPierError `verifierUnreadable`. */
  read(role: string): Promise<ScramVerifier | undefined>;
}

/**
 * How clients prove who they are. The backend decides always; the proxy carries the proof.
 * `passthrough`: the exchange is relayed. That cannot work where both legs use TLS and the backend offers SCRAM-SHA-256-PLUS (the proof is
 * bound to the certificate of one leg); such a login is refused with a hint.
 * `password`: in that one case the client is asked for its password inside its TLS, and the proxy answers the backend's SCRAM with it.
 * `scram`: where a leg uses TLS, SCRAM ends at the proxy and begins anew towards the backend, each with channel binding of its own. `only`: a backend that
 * asks for anything else than SCRAM is refused.
 */
export type AuthMethod =
  | { readonly kind: 'passthrough' }
  | { readonly kind: 'password' }
  | { readonly kind: 'scram'; readonly verifiers: Verifiers; readonly only: boolean };

export interface AuthPolicy {
  readonly method: AuthMethod;
  /** The backend lets the proxy in without a challenge (trust, peer), and that is meant. */
  readonly trustedBackend: boolean;
  /** Refuses every client that does not come from a loopback address. */
  readonly loopbackOnly: boolean;
  /** The client's certificate must name the role it logs in as (its common name), besides all else. */
  readonly certificateNamesRole: boolean;
}

/**
 * PEM texts. `clientCa`: authorities, one of which must have signed the client's certificate; a client without one is refused. `required`: so is a client
 * that does not ask for TLS. A CancelRequest is refused for neither.
 */
export interface ListenerTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
  readonly required?: boolean;
}

/** The part of pino's logger that login uses. */
export interface LoginLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free one; see `Listener.address`. */
  readonly port: number;
  readonly tls?: ListenerTls;
  /** With `hosts`, but for host and port. */
  readonly backend: BackendTarget;
  readonly hosts?: Hosts;
  /** Asked for at each login. */
  readonly auth: () => AuthPolicy;
  readonly startSession: StartSession;
  /** Where sessions without TLS go, if there is such a thing. */
  readonly native?: NativeLinks;
  readonly log: LoginLog;
  /** From accept to the first ReadyForQuery; default 60 000, as PostgreSQL's authentication_timeout. */
  readonly loginTimeoutMs?: number;
  /** How long `stop()` waits for busy sessions before it ends them; default 30 000. */
  readonly drainTimeoutMs?: number;
  /** Default: none. */
  readonly limits?: ClientLimits;
  /** Absent: the only one. */
  readonly peers?: Peers;
  /** Takes the socket of another PgPier that asks for this node's files. Absent: none is answered. */
  readonly takeNode?: (socket: net.Socket) => void;
  /** Listens beside others on one port (SO_REUSEPORT); `directory`: where they find each other (siblings.ts). */
  readonly sharedPort?: { readonly directory: string };
  /** How long a session may stay idle outside a transaction; absent or 0: for ever. */
  readonly idleTimeoutMs?: number;
  /** Silence after which the kernel asks a client whether it is still there; default 60 000; 0: never. */
  readonly keepAliveMs?: number;
}

export interface Listener {
  /** As bound; `port` is the real one. */
  readonly address: { readonly host: string; readonly port: number };
  /** Sessions that have logged in and have not ended. */
  readonly sessionCount: number;
  /** Since the start. */
  readonly counters: { readonly accepted: number; readonly loggedIn: number; readonly refused: number; readonly cancelRequests: number };
  /** Handshakes from now on show these. Throws PgPierError `tlsKeyPair`, and goes on with the old ones. */
  reloadTls(files: ListenerTls): void;
  /** Stops accepting, and resolves when the last session has ended by itself; `stop()` may still come meanwhile. */
  handOver(): Promise<void>;
  /** Stops accepting, ends logins, drains sessions (`SessionHandle.drain`), after `drainTimeoutMs` destroys what is left. */
  stop(): Promise<void>;
}

/** listener.ts: `startListener(options): Promise<Listener>`; rejects with PgPierError `cannotListen` or `tlsKeyPair`. */
export type StartListener = (options: ListenerOptions) => Promise<Listener>;
