/** The PostgreSQL that the relays stand before, as the configuration or the embedded server says. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { ConnectionTarget } from '../configuration/connectionUri.ts';
import type { BackendTarget } from '../login/listenerOptions.ts';

export interface Backend {
  readonly target: ConnectionTarget;
  readonly dataDirectory: string;
}

/** Where the embedded server listens, and where its data really are. */
export interface EmbeddedAt {
  readonly host: string;
  readonly port: number;
  readonly dataDirectory: string;
}

/** @throws Error when the configuration wants an embedded server and there is none */
export function backendOf({ backend, dataDirectory }: Config, embedded: EmbeddedAt | undefined): Backend {
  if (backend.kind === 'server') return { target: backend.target, dataDirectory };
  if (embedded === undefined) throw new Error('there is no embedded server');
  const { password } = backend;
  const { host, port } = embedded;
  return {
    target: { host, port, user: 'postgres', database: 'postgres', sslmode: 'disable', ...(password && { password }) },
    dataDirectory: embedded.dataDirectory,
  };
}

/** For connections whose bytes are relayed. The listener takes a certificate's text, not its file; absent for `system`, which is what Node trusts. */
export function backendTargetOf(target: ConnectionTarget, { keepAliveMs }: Pick<Config, 'keepAliveMs'>): BackendTarget {
  const { host, port, sslmode, sslrootcert, connectTimeoutMs } = target;
  return {
    host,
    port,
    sslmode,
    ...(sslrootcert !== undefined && sslrootcert !== 'system' && { sslrootcert: readFileSync(sslrootcert, 'utf8') }),
    ...(connectTimeoutMs !== undefined && { connectTimeoutMs }),
    keepAliveMs,
  };
}
