/** Who may come in, and how many at once: the minimum of pg_hba.conf and of `max_connections` that belongs before the backend. */
import * as net from 'node:net';
import { PgPierError } from '../../errors.ts';

export interface Limits {
  /** Networks (`address/length`) that clients may come from; absent: any. */
  readonly clientNetworks?: readonly string[];
  /** Clients at once that have asked to log in, and sessions; absent: no limit. */
  readonly maxConnections?: number;
  /** Sessions of one role at once; absent: no limit. */
  readonly maxConnectionsPerRole?: number;
}

/** Gives a place back; to be called once. */
export type Leave = () => void;

/** Several relays count as one where they share the one that counts. */
export interface ClientLimits {
  /** A client asks to log in. Rejects with FATAL 28000 for its network, 53300 where all places are taken. */
  enter(address: string | undefined): Promise<Leave>;
  /**
   * A role has proved who it is. Rejects with FATAL 53300 as PostgreSQL does for CONNECTION LIMIT. Not sooner: a stranger's logins in that role's name
   * would keep the role itself out.
   */
  authenticated(role: string): Promise<Leave>;
}

export function clientLimits(limits: Limits): ClientLimits {
  const networks = limits.clientNetworks && blockList(limits.clientNetworks);
  const { maxConnections = Number.POSITIVE_INFINITY, maxConnectionsPerRole = Number.POSITIVE_INFINITY } = limits;
  const sessionsOf = new Map<string, number>();
  let clients = 0;
  return {
    enter: async (address) => {
      if (networks !== undefined && !isIn(networks, address)) throw fatal('clientNetwork', { address: address ?? 'unknown' });
      if (clients >= maxConnections) throw fatal('tooManyConnections');
      clients++;
      return () => {
        clients--;
      };
    },
    authenticated: async (role) => {
      const sessions = sessionsOf.get(role) ?? 0;
      if (sessions >= maxConnectionsPerRole) throw fatal('tooManyConnectionsOfRole', { role });
      sessionsOf.set(role, sessions + 1);
      return () => {
        const left = sessionsOf.get(role)! - 1;
        if (left > 0) sessionsOf.set(role, left);
        else sessionsOf.delete(role);
      };
    },
  };
}

function blockList(clientNetworks: readonly string[]): net.BlockList {
  const networks = new net.BlockList();
  for (const network of clientNetworks) {
    const [address, length] = network.split('/') as [string, string];
    networks.addSubnet(address, Number(length), net.isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return networks;
}

/** IPv4 clients of a listener on `::` come as ::ffff:a.b.c.d; `check` knows them by their IPv4 rule. */
function isIn(networks: net.BlockList, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  return networks.check(plain, net.isIPv6(plain) ? 'ipv6' : 'ipv4');
}

function fatal(
  name: 'clientNetwork' | 'tooManyConnections' | 'tooManyConnectionsOfRole',
  values: Record<string, string> = {},
): PgPierError {
  return new PgPierError(name, values, { severity: 'FATAL' });
}
