/**
 * The client's first packets: SSLRequest and GSSENCRequest, each at most once, direct TLS, CancelRequest, StartupMessage. Lengths that PostgreSQL
 * closes on without a word are closed on without a word (ProcessStartupPacket).
 */
import { PgPierError } from '../../errors.ts';
import { type CancelKey, readCancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import {
  maxStartupLength,
  minStartupLength,
  readStartupMessage,
  type StartupMessage,
  startupPacketKind,
} from '../../protocol/frontend/startupMessage.ts';
import { SocketLink } from '../link/socketLink.ts';
import { LinkReader } from './linkReader.ts';
import { acceptTls, type Certificates, type ListenerEncryption } from './tls.ts';

/** The client's leg while it logs in; TLS replaces link and reader. */
export interface ClientLeg {
  link: SocketLink;
  reader: LinkReader;
  /** Whose certificates the handshake showed. */
  certificates?: Certificates;
}

export type Startup =
  | { readonly kind: 'startup'; readonly packet: Buffer; readonly message: StartupMessage }
  | { readonly kind: 'cancel'; readonly key: CancelKey }
  /** Another PgPier, which says no more before it is answered. */
  | { readonly kind: 'node' }
  /** Close without a word. */
  | { readonly kind: 'close'; readonly reason: string };

const tlsHandshakeByte = 0x16;
const unencryptedDataDetail = 'This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.';

/** Throws PgPierError (to be sent as FATAL) and PeerGone. `servesNodes`: whether other PgPiers are answered; else their packet is what it is to PostgreSQL. */
export async function receiveStartup(leg: ClientLeg, tls: ListenerEncryption | undefined, servesNodes: boolean): Promise<Startup> {
  let sslAnswered = false;
  let gssAnswered = false;
  await leg.reader.need(1);
  if (leg.reader.byteAt(0) === tlsHandshakeByte) {
    if (!tls) return { kind: 'close', reason: 'direct TLS without a certificate' };
    const failure = await upgrade(leg, tls, true);
    if (failure) return failure;
    sslAnswered = true;
    gssAnswered = true;
  }
  for (;;) {
    await leg.reader.need(4);
    const length = leg.reader.int32At(0);
    if (length < minStartupLength || length > maxStartupLength) return { kind: 'close', reason: 'invalid length of startup packet' };
    await leg.reader.need(length);
    const packet = leg.reader.take(length);
    switch (startupPacketKind(packet)) {
      case 'cancel': {
        const key = readCancelRequest(packet);
        return key ? { kind: 'cancel', key } : { kind: 'close', reason: 'invalid length of cancel request' };
      }
      case 'ssl': {
        if (sslAnswered) throw unsupported(packet);
        sslAnswered = true;
        if (!tls) leg.link.write(Buffer.from('N'));
        refuseSmuggled(leg, 'SSL');
        if (!tls) break;
        const failure = await upgrade(leg, tls, false);
        if (failure) return failure;
        // As in PostgreSQL: no GSS inside TLS.
        gssAnswered = true;
        break;
      }
      case 'gssenc':
        if (gssAnswered) throw unsupported(packet);
        gssAnswered = true;
        leg.link.write(Buffer.from('N'));
        refuseSmuggled(leg, 'GSSAPI encryption');
        break;
      case 'node':
        if (!servesNodes || leg.link.encrypted) throw unsupported(packet);
        return leg.reader.available > 0 ? { kind: 'close', reason: 'bytes behind the request of a node' } : { kind: 'node' };
      case 'startup': {
        if (packet.readUInt16BE(4) !== 3) throw unsupported(packet);
        const message = readStartupMessage(packet);
        if (!message) throw new PgPierError('startupPacketLayout', {}, { severity: 'FATAL' });
        if (tls?.required && !leg.link.encrypted) throw new PgPierError('tlsRequired', {}, { severity: 'FATAL' });
        return { kind: 'startup', packet, message };
      }
    }
  }
}

/** A second SSLRequest or GSSENCRequest is read as a version, as in PostgreSQL. */
function unsupported(packet: Buffer): PgPierError {
  const version = `${packet.readUInt16BE(4)}.${packet.readUInt16BE(6)}`;
  return new PgPierError('unsupportedProtocol', { version }, { severity: 'FATAL' });
}

/**
 * What stands behind the request was sent before any encryption and would be taken for encrypted (CVE-2021-23214). Refused behind an `N` too, as
 * PostgreSQL does.
 */
function refuseSmuggled(leg: ClientLeg, request: string): void {
  if (leg.reader.available === 0) return;
  throw new PgPierError('unencryptedData', { request }, { severity: 'FATAL', detail: unencryptedDataDetail });
}

async function upgrade(leg: ClientLeg, tls: ListenerEncryption, direct: boolean): Promise<Startup | undefined> {
  const { onGone } = leg.reader;
  if (!direct) {
    leg.link.write(Buffer.from('S'));
    await leg.reader.need(1);
  }
  const read = leg.reader.detach();
  const handshake = await acceptTls(leg.link.release(), read, tls);
  if (handshake.kind === 'failed') return { kind: 'close', reason: `TLS handshake failed: ${handshake.error?.message ?? 'closed'}` };
  leg.link = new SocketLink(handshake.socket);
  leg.reader = new LinkReader(leg.link, 'client');
  leg.reader.onGone = onGone;
  leg.certificates = handshake.certificates;
  if (direct && !handshake.alpn) return { kind: 'close', reason: 'direct TLS without ALPN' };
  return undefined;
}
