/**
 * From the forwarded startup packet to AuthenticationOk. The exchange is relayed wherever that is sound; SCRAM through two TLS legs is not (the proof
 * is bound to one leg's certificate), and is then answered by us with the client's password if the policy says so. Nothing of it is ever logged.
 */
import { randomBytes } from 'node:crypto';
import { PgPierError } from '../../errors.ts';
import {
  type Authentication,
  authenticationCleartextPassword,
  authenticationSasl,
  readAuthentication,
} from '../../protocol/backend/authentication.ts';
import { readErrorFields } from '../../protocol/backend/errorResponse.ts';
import { negotiateProtocolVersionType } from '../../protocol/backend/negotiateProtocolVersion.ts';
import { tlsServerEndPoint } from '../../protocol/channelBinding.ts';
import { backendType, frontendType } from '../../protocol/frame.ts';
import { maxPasswordMessageLength, passwordMessageType, readPasswordMessage } from '../../protocol/frontend/passwordMessage.ts';
import { readSaslInitialResponse, saslInitialResponse, saslResponse } from '../../protocol/frontend/saslInitialResponse.ts';
import { ScramClient, ScramError, scramSha256, scramSha256Plus } from '../../protocol/scram.ts';
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
}

export interface Authenticating {
  readonly client: AuthenticationLeg;
  readonly backend: AuthenticationLeg & { readonly certificate: Buffer | undefined };
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

const fatal = { severity: 'FATAL' } as const;

/** Resolves once AuthenticationOk has been relayed. Throws PgPierError (to be sent as FATAL), BackendRefusal, PeerGone, BadLength. */
export async function authenticate(login: Authenticating): Promise<void> {
  let challenged = false;
  for (;;) {
    const { message, request } = await nextRequest(login);
    switch (request.kind) {
      case 'ok':
        if (!challenged && !login.policy.trustedBackend) throw new PgPierError('backendAsksNothing', {}, fatal);
        login.client.link.write(message);
        return;
      case 'cleartextPassword':
        for (const [leg, { private: isPrivate }] of [['client', login.client] as const, ['backend', login.backend] as const]) {
          if (!isPrivate) throw new PgPierError('cleartextRefused', { leg }, fatal);
        }
        login.client.link.write(message);
        login.backend.link.write((await clientPassword(login)).message);
        break;
      case 'md5Password':
        login.client.link.write(message);
        login.backend.link.write((await clientPassword(login)).message);
        break;
      case 'sasl':
        if (challenged) throw unexpected('a second SASL exchange');
        await sasl(login, request.mechanisms);
        break;
      case 'saslContinue':
      case 'saslFinal':
        throw unexpected('SASL data outside an exchange');
      case 'other':
        throw new PgPierError('authenticationMethod', { method: request.name }, fatal);
    }
    challenged = true;
  }
}

/** The backend's next Authentication message; notices and `v` are relayed on the way. */
async function nextRequest({ client, backend }: Authenticating): Promise<{ message: Buffer; request: Authentication }> {
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

function unexpected(detail: string): PgPierError {
  return new PgPierError('backendLoginProtocol', { detail }, fatal);
}

/** The client's next `p`, unless the backend speaks first: it may lose patience, and its error then is what the client should read. */
async function clientAnswer(login: Authenticating, what: 'password' | 'SASL'): Promise<Buffer> {
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

async function clientPassword(login: Authenticating): Promise<{ message: Buffer; password: Buffer }> {
  const message = await clientAnswer(login, 'password');
  const password = readPasswordMessage(message);
  if (!password) throw new PgPierError('invalidPasswordPacket', {}, fatal);
  if (password.length === 0) throw new PgPierError('emptyPassword', {}, fatal);
  return { message, password };
}

async function sasl(login: Authenticating, offered: readonly string[]): Promise<void> {
  const { client, backend, policy } = login;
  if (client.link.encrypted && backend.link.encrypted && offered.includes(scramSha256Plus)) {
    if (policy.mode === 'passthrough') throw new PgPierError('scramOverTwoTlsLegs', {}, fatal);
    return answerScram(login);
  }
  // PLUS needs TLS to the client, and where both legs have it we are not here. Any other mechanism than SCRAM (OAUTHBEARER) is a secret in clear.
  const mechanisms = offered.filter((name) => name === scramSha256 || (name !== scramSha256Plus && client.private && backend.private));
  if (mechanisms.length === 0) throw new PgPierError('authenticationMethod', { method: offered.join(', ').slice(0, 200) }, fatal);
  client.link.write(authenticationSasl(mechanisms));
  const first = await clientAnswer(login, 'SASL');
  const initial = readSaslInitialResponse(first);
  if (!initial) throw new PgPierError('malformedSasl', {}, fatal);
  if (!mechanisms.includes(initial.mechanism)) throw new PgPierError('saslMechanism', {}, fatal);
  backend.link.write(first);
  for (;;) {
    const { message, request } = await nextRequest(login);
    if (request.kind === 'saslContinue') {
      client.link.write(message);
      backend.link.write(await clientAnswer(login, 'SASL'));
    } else if (request.kind === 'saslFinal') {
      client.link.write(message);
      return;
    } else throw unexpected('an authentication request inside a SASL exchange');
  }
}

/** Asks the client for its password inside its TLS and proves it to the backend. */
async function answerScram(login: Authenticating): Promise<void> {
  const { client, backend } = login;
  client.link.write(authenticationCleartextPassword());
  const { password } = await clientPassword(login);
  const binding = backend.certificate ? tlsServerEndPoint(backend.certificate) : undefined;
  const scram = new ScramClient({
    password,
    nonce: randomBytes(18).toString('base64'),
    ...(binding ? { channelBinding: binding } : {}),
  });
  try {
    backend.link.write(saslInitialResponse(scram.mechanism, scram.clientFirst()));
    const first = await nextRequest(login);
    if (first.request.kind !== 'saslContinue') throw unexpected('no SASL challenge');
    backend.link.write(saslResponse(await scram.clientFinal(first.request.data)));
    const final = await nextRequest(login);
    if (final.request.kind !== 'saslFinal') throw unexpected('no SASL completion');
    scram.verifyServerFinal(final.request.data);
  } catch (error) {
    if (error instanceof ScramError) throw new PgPierError('backendScram', { reason: error.message }, fatal);
    throw error;
  } finally {
    password.fill(0);
  }
}
