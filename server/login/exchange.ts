/** The two legs of a login between startup packet and AuthenticationOk, and how the next message of either is waited for. */
import { PgPierError } from '../../errors.ts';
import { type Authentication, readAuthentication } from '../../protocol/backend/authentication.ts';
import { readErrorFields } from '../../protocol/backend/errorResponse.ts';
import { negotiateProtocolVersionType } from '../../protocol/backend/negotiateProtocolVersion.ts';
import { backendType, frontendType } from '../../protocol/frame.ts';
import { maxPasswordMessageLength, passwordMessageType, readPasswordMessage } from '../../protocol/frontend/passwordMessage.ts';
import { readSaslInitialResponse, type SaslInitialResponse } from '../../protocol/frontend/saslInitialResponse.ts';
import type { Link } from '../link/link.ts';
import { type LinkReader, PeerGone } from './linkReader.ts';
import type { AuthPolicy } from './listenerOptions.ts';

/** A ParameterStatus or a notice may be long; nothing else before ReadyForQuery is. */
export const maxLoginMessageLength = 1024 * 1024;

export interface AuthenticationLeg {
  readonly link: Link;
  readonly reader: LinkReader;
  /** TLS, or a unix socket: a password in clear text may go over it. */
  readonly private: boolean;
  /** The server's certificate (DER) of this leg's TLS: ours towards the client, the backend's towards us. */
  readonly certificate: Buffer | undefined;
}

export interface Authenticating {
  readonly client: AuthenticationLeg;
  readonly backend: AuthenticationLeg;
  /** The startup packet's `user`. */
  readonly user: string;
  readonly policy: AuthPolicy;
}

/** The backend refused; its ErrorResponse has been relayed. */
export class BackendRefusal extends Error {
  readonly sqlstate: string;

  constructor(response: Buffer) {
    const fields = readErrorFields(response);
    super(fields.get('M') ?? '');
    this.sqlstate = fields.get('C') ?? '';
  }
}

export const fatal = { severity: 'FATAL' } as const;

/** The backend's next Authentication message; notices and `v` are relayed on the way. Throws BackendRefusal once its error has been relayed. */
export async function nextRequest({ client, backend }: Authenticating): Promise<{ message: Buffer; request: Authentication }> {
  for (;;) {
    const message = await backend.reader.message(maxLoginMessageLength);
    switch (message[0]) {
      case backendType.authentication:
        try {
          return { message, request: readAuthentication(message) };
        } catch (error) {
          if (error instanceof RangeError) throw unexpected('a malformed authentication request');
          throw error;
        }
      case backendType.errorResponse:
        client.link.write(message);
        throw new BackendRefusal(message);
      case backendType.noticeResponse:
      case negotiateProtocolVersionType:
        client.link.write(message);
        break;
      default:
        throw unexpected(`message type ${message[0]} before authentication`);
    }
  }
}

export function unexpected(detail: string): PgPierError {
  return new PgPierError('backendLoginProtocol', { detail }, fatal);
}

/** The client's next `p`, unless the backend speaks first: it may lose patience, and its error then is what the client should read. */
export async function clientAnswer(login: Authenticating, what: 'password' | 'SASL'): Promise<Buffer> {
  const { client, backend } = login;
  // The head first: what is no `p` may have any length.
  const head = client.reader.need(5);
  head.catch(() => {});
  while ((await Promise.race([head.then(() => 'client'), backend.reader.need(1).then(() => 'backend')])) === 'backend') {
    await nextRequest(login);
    throw unexpected('two authentication requests at once');
  }
  const type = client.reader.byteAt(0);
  // psql hangs up to ask its user for the password, and comes again.
  if (type === frontendType.terminate) throw new PeerGone('client');
  if (type !== passwordMessageType) throw new PgPierError('expectedPassword', { what, type }, fatal);
  const length = client.reader.int32At(1);
  if (length < 4 || length > maxPasswordMessageLength) throw new PgPierError('invalidPasswordPacket', {}, fatal);
  return client.reader.message(maxPasswordMessageLength);
}

/** The client's choice of a mechanism and its first message. */
export async function clientSaslChoice(login: Authenticating): Promise<{ message: Buffer; initial: SaslInitialResponse }> {
  const message = await clientAnswer(login, 'SASL');
  const initial = readSaslInitialResponse(message);
  if (initial === 'tooShort') throw new PgPierError('saslTooShort', {}, fatal);
  if (initial === 'tooLong') throw new PgPierError('saslTooLong', {}, fatal);
  return { message, initial };
}

export async function clientPassword(login: Authenticating): Promise<{ message: Buffer; password: Buffer }> {
  const message = await clientAnswer(login, 'password');
  const password = readPasswordMessage(message);
  if (!password) throw new PgPierError('invalidPasswordPacket', {}, fatal);
  if (password.length === 0) throw new PgPierError('emptyPassword', {}, fatal);
  return { message, password };
}
