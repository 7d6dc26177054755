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

export class ClientLimits {
  readonly #limits: Limits;
  readonly #networks: net.BlockList | undefined;
  readonly #sessionsOf = new Map<string, number>();
  #clients = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    if (limits.clientNetworks === undefined) return;
    this.#networks = new net.BlockList();
    for (const network of limits.clientNetworks) {
      const [address, length] = network.split('/') as [string, string];
      this.#networks.addSubnet(address, Number(length), net.isIPv6(address) ? 'ipv6' : 'ipv4');
    }
  }

  /** A client asks to log in. Throws FATAL 28000 for its network, 53300 where all places are taken. */
  enter(address: string | undefined): Leave {
    if (this.#networks !== undefined && !isIn(this.#networks, address)) throw fatal('clientNetwork', { address: address ?? 'unknown' });
    if (this.#clients >= (this.#limits.maxConnections ?? Number.POSITIVE_INFINITY)) throw fatal('tooManyConnections');
    this.#clients++;
    return () => {
      this.#clients--;
    };
  }

  /**
   * A role has proved who it is. Throws FATAL 53300 as PostgreSQL does for CONNECTION LIMIT. Not sooner: a stranger's logins in that role's name
   * would keep the role itself out.
   */
  authenticated(role: string): Leave {
    const sessions = this.#sessionsOf.get(role) ?? 0;
    if (sessions >= (this.#limits.maxConnectionsPerRole ?? Number.POSITIVE_INFINITY)) throw fatal('tooManyConnectionsOfRole', { role });
    this.#sessionsOf.set(role, sessions + 1);
    return () => {
      const left = this.#sessionsOf.get(role)! - 1;
      if (left > 0) this.#sessionsOf.set(role, left);
      else this.#sessionsOf.delete(role);
    };
  }
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
