/** HOST:PORT as flags write it, and what counts as loopback. */
import { isIP } from 'node:net';

export interface Address {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  /** 0 means any free port. */
  readonly port: number;
}

/** `host:port`, `[v6]:port` or `:port` (all addresses). Undefined where it is none of these. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  const [, v6, plain] = match;
  if (port > 65_535 || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  const host = v6 ?? plain ?? '';
  return { host: host === '' || host === '*' ? '::' : host, port };
}

/** `host:port`, an IPv6 address in brackets, as URLs write it. */
export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach a listener on `host`. Names other than localhost are not looked up: they count as reachable. */
export function isLoopbackHost(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  if (isIP(host) === 4) return host.startsWith('127.');
  return isIP(host) === 6 && /^(0*:)*0*1$/.test(host);
}

/** `a.b.c.d/n` or `v6/n`; a bare address counts as one host. Undefined where it is neither. */
export function parseCidr(text: string): string | undefined {
  const [address, length, ...rest] = text.split('/');
  const version = isIP(address ?? '');
  if (version === 0 || rest.length > 0) return undefined;
  const most = version === 4 ? 32 : 128;
  if (length === undefined) return `${address}/${most}`;
  return /^\d{1,3}$/.test(length) && Number(length) <= most ? `${address}/${length}` : undefined;
}
