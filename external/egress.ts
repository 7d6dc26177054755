/**
 * Which addresses a user's URI may make this machine connect to. The name in a URI proves nothing (it may resolve to anything, and
 * differently the next time), so the address is judged that the socket is about to use: inside the agent's `lookup`, and for
 * literals where the socket is made. Nothing here follows redirects; a client that does passes through here again.
 */
import * as dns from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import { BlockList, isIP, isIPv4, type LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { PgPierError } from '../errors.ts';

export interface EgressRules {
  /** Whether loopback and private addresses are fine (the URI comes from a superuser or a member of the admin role). */
  readonly trusted: boolean;
  /** Loopback and private networks that everybody may reach. */
  readonly allowedNetworks: readonly string[];
  /** Lets the metadata services be reached: for the machine's own credentials alone, by code whose addresses no URI says. */
  readonly machineMetadata?: boolean;
}

/** Refused to all, and no allow-list opens them: link-local, where clouds keep the machine's own credentials, and their odd spellings. */
const metadata = networks([
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::/32', // AWS: metadata, DNS, time
  'fd20:ce::254', // Google Cloud
  '100.100.100.200', // Alibaba Cloud
  '168.63.129.16', // Azure's wire server
  '192.0.0.192', // Oracle Cloud, old
]);

const local = networks([
  '0.0.0.0/8', // "this host": Linux takes it to loopback
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10', // carriers and overlay networks
  '192.0.0.0/24',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/127', // unspecified and loopback
  'fc00::/7',
  'fec0::/10',
  'ff00::/8',
]);

/** @throws PgPierError 22023 for an entry that is neither an address nor a CIDR. */
export function networks(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry.trim()) ?? [];
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    if (family === 0 || Number(bits ?? 0) > most) throw new PgPierError('networkInvalid', { network: entry });
    list.addSubnet(address, bits === undefined ? most : Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** What kind of forbidden an address is. Pure; `undefined` for one that everybody may reach. */
export function judgeAddress(address: string): 'metadata' | 'local' | undefined {
  const plain = address.replace(/%.*$/, '');
  const forms = [plain, ...embeddedIpv4(plain)];
  const within = (list: BlockList) => forms.some((form) => list.check(form, isIPv4(form) ? 'ipv4' : 'ipv6'));
  return within(metadata) ? 'metadata' : within(local) ? 'local' : undefined;
}

/** IPv4 addresses that reach the same machine through an IPv6 one: mapped, compatible, NAT64, 6to4. */
function embeddedIpv4(address: string): string[] {
  if (isIPv4(address)) return [];
  const words = ipv6Words(address);
  const at = (index: number) => [words[index]! >> 8, words[index]! & 255, words[index + 1]! >> 8, words[index + 1]! & 255].join('.');
  const zero = (count: number) => words.slice(0, count).every((word) => word === 0);
  if (zero(5) && words[5] === 0xffff) return [at(6)];
  if (zero(4) && words[4] === 0xffff && words[5] === 0) return [at(6)];
  if (zero(6) && (words[6] !== 0 || words[7]! > 1)) return [at(6)];
  if (words[0] === 0x64 && words[1] === 0xff9b) return [at(6)];
  if (words[0] === 0x2002) return [at(1)];
  return [];
}

/** The eight 16-bit words of a valid IPv6 address; the URL class spells it in canonical form. */
function ipv6Words(address: string): number[] {
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const words = (text: string) => (text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16)));
  const front = words(head);
  const back = words(tail ?? '');
  return [...front, ...new Array(8 - front.length - back.length).fill(0), ...back];
}

export interface Egress {
  /** @throws PgPierError 42501 */
  check(address: string): void;
  /** dns.lookup without the addresses that are not allowed; 42501 when none is left. */
  readonly lookup: LookupFunction;
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;
  /** Closes the agents' idle sockets. */
  close(): void;
}

export interface EgressTls {
  readonly skipVerify?: boolean;
  /** PEM; beside these authorities none is trusted. */
  readonly ca?: string;
  /** PEM, to show who we are. */
  readonly client?: { readonly cert: string; readonly key: string };
}

/** @throws PgPierError 22023 for a bad entry of `allowedNetworks`. */
export function openEgress(rules: EgressRules, { keepAlive = true, ...tls }: EgressTls & { readonly keepAlive?: boolean } = {}): Egress {
  const allowed = networks(rules.allowedNetworks);
  const check = (address: string) => {
    const kind = judgeAddress(address);
    if (kind === undefined) return;
    if (kind === 'metadata' && rules.machineMetadata) return;
    if (kind === 'metadata') throw new PgPierError('addressNotAllowed', { address, reason: 'link-local or a metadata service' });
    if (rules.trusted || allowed.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')) return;
    const hint = 'Superusers and members of the admin role may use it; the operator may open its network to everybody.';
    throw new PgPierError('addressNotAllowed', { address, reason: 'a loopback or private address' }, { hint });
  };
  const lookup = guardedLookup(check);
  const options = { keepAlive, maxSockets: 16, lookup };
  const httpAgent = guard(new http.Agent(options), check);
  const httpsAgent = guard(new https.Agent({ ...options, ...tlsOptions(tls) }), check);
  return {
    check,
    lookup,
    httpAgent,
    httpsAgent,
    close() {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

/** As Node's TLS takes them. */
export function tlsOptions({ skipVerify, ca, client }: EgressTls): ConnectionOptions {
  return { rejectUnauthorized: !skipVerify, ...(ca === undefined ? {} : { ca }), ...client };
}

function guardedLookup(check: (address: string) => void): LookupFunction {
  return (hostname, options, callback) => {
    // RFC 6761: names below localhost are loopback whoever is asked; not every resolver knows. `bucket.localhost` is a bucket in virtual-host style.
    const name = /\.localhost\.?$/i.test(hostname) ? 'localhost' : hostname;
    dns.lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const refused: unknown[] = [];
      const usable = addresses.filter(({ address }) => {
        try {
          check(address);
          return true;
        } catch (reason) {
          refused.push(reason);
          return false;
        }
      });
      const first = usable[0];
      if (!first) return callback((refused[0] ?? new Error('no address')) as NodeJS.ErrnoException, '', 0);
      if (options.all) callback(null, usable);
      else callback(null, first.address, first.family);
    });
  };
}

/** Sockets for a literal address never ask `lookup`. */
function guard<A extends http.Agent>(agent: A, check: (address: string) => void): A {
  const create = agent.createConnection.bind(agent) as (options: object, callback: unknown) => Duplex;
  agent.createConnection = ((options: { host?: string; hostname?: string }, callback: (error: Error) => void) => {
    const host = (options.host ?? options.hostname ?? '').replace(/^\[|\]$/g, '');
    if (isIP(host)) {
      try {
        check(host);
      } catch (error) {
        // Late, as a socket's own errors are: the request has no listener yet.
        process.nextTick(callback, error);
        return undefined;
      }
    }
    return create(options, callback);
  }) as unknown as A['createConnection'];
  return agent;
}
