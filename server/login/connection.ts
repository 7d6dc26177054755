/** One accepted connection, from its first byte until it is a session, a delivered cancel, or gone. */
import type * as net from 'node:net';
import { type ErrorData, PgPierError, toErrorData } from '../../errors.ts';
import { errorResponse } from '../../protocol/backend/errorResponse.ts';
import type { CancelKey } from '../../protocol/frontend/cancelRequest.ts';
import { asksForReplication, type StartupMessage } from '../../protocol/frontend/startupMessage.ts';
import { lingeringClose } from '../link/lingeringClose.ts';
import type { Link } from '../link/link.ts';
import { withOwnBuffer } from '../link/ownBuffer.ts';
import { SocketLink } from '../link/socketLink.ts';
import { authenticate } from './authenticate.ts';
import { type BackendConnection, backendUnreachable, connectChosen } from './backend.ts';
import type { CancelRegistry } from './cancel.ts';
import { checkClientCertificate } from './clientCertificate.ts';
import type { ClientLimits, Leave } from './clientLimits.ts';
import { BackendRefusal } from './exchange.ts';
import { forwardCancel } from './forwardCancel.ts';
import { relayGreeting } from './greeting.ts';
import { BadLength, LinkReader, PeerGone } from './linkReader.ts';
import type { ListenerOptions } from './listenerOptions.ts';
import type { LoggedIn, SessionHandle } from './loggedIn.ts';
import { type ClientLeg, receiveStartup } from './startup.ts';
import type { ListenerEncryption } from './tls.ts';

export interface ConnectionContext {
  readonly options: ListenerOptions;
  /** As of now: certificates are reloaded under running sessions. */
  readonly tls: ListenerEncryption | undefined;
  readonly cancels: CancelRegistry;
  readonly limits: ClientLimits;
}

export type ConnectionEnd =
  | { readonly kind: 'session'; readonly handle: SessionHandle }
  | { readonly kind: 'cancel' }
  /** Told so, or (`silent`) never asked to log in: another node did not, either. */
  | { readonly kind: 'refused' | 'silent' };

const defaultTimeoutMs = 60_000;

/** The login timer's, the listener's or the client's reason to end a login from outside. */
type Interruption = { readonly kind: 'none' } | { readonly kind: 'clientGone' } | { readonly kind: 'error'; readonly error: PgPierError };

export class Connection {
  readonly #context: ConnectionContext;
  readonly #socket: net.Socket;
  readonly #leg: ClientLeg;
  readonly #peer: string | undefined;
  readonly #interrupt = new AbortController();
  #interruption: Interruption = { kind: 'none' };
  #backend: BackendConnection | undefined;
  /** What the login has taken of the limits; the session's from its beginning on. */
  readonly #places: Leave[] = [];
  /** Who wants to log in, once known: until then a timeout says nothing. */
  #who: { user: string; database: string } | undefined;

  constructor(socket: net.Socket, context: ConnectionContext) {
    this.#context = context;
    this.#socket = socket;
    this.#peer = socket.remoteAddress;
    const link = new SocketLink(socket);
    this.#leg = { link, reader: new LinkReader(link, 'client') };
    this.#leg.reader.onGone = () => this.#end({ kind: 'clientGone' });
  }

  /** Ends the login, with 57P03 if the client has asked for one. Does nothing to what has become a session. */
  stop(): void {
    this.#end({ kind: 'error', error: fatal('listenerStopping') });
  }

  #end(interruption: Interruption): void {
    if (this.#interruption.kind !== 'none') return;
    this.#interruption = interruption;
    this.#interrupt.abort(new Error('the login was interrupted'));
    this.#backend?.link.destroy();
    // Whatever waits for the client is woken; during a TLS handshake there is nothing but the socket.
    if (!this.#who) this.#socket.destroy();
  }

  /** Never rejects. */
  async run(): Promise<ConnectionEnd> {
    const timer = setTimeout(
      () => this.#end({ kind: 'error', error: fatal('loginTimeout') }),
      this.#context.options.loginTimeoutMs ?? defaultTimeoutMs,
    );
    try {
      return await this.#run(() => clearTimeout(timer));
    } catch (error) {
      return await this.#refuse(error);
    } finally {
      clearTimeout(timer);
      for (const leave of this.#places) leave();
    }
  }

  async #run(stopTimer: () => void): Promise<ConnectionEnd> {
    const startup = await this.#interruptible(receiveStartup(this.#leg, this.#context.tls, this.#context.options.takeNode !== undefined));
    switch (startup.kind) {
      case 'close':
        this.#context.options.log.debug({ peer: this.#peer, reason: startup.reason }, 'connection closed before login');
        this.#leg.link.destroy();
        return { kind: 'silent' };
      case 'cancel':
        stopTimer();
        this.#leg.reader.onGone = () => {};
        // The cancel itself goes on when the listener stops; its client need not be waited for.
        await this.#interruptible(this.#context.cancels.cancel(startup.key)).catch(() => {});
        // Only now: drivers take the end of this connection for "delivered".
        await lingeringClose(this.#leg.link);
        return { kind: 'cancel' };
      case 'node':
        stopTimer();
        this.#leg.reader.detach();
        this.#context.options.takeNode!(this.#leg.link.release());
        return { kind: 'silent' };
      case 'startup':
        return this.#logIn(startup.packet, startup.message);
    }
  }

  async #logIn(packet: Buffer, message: StartupMessage): Promise<ConnectionEnd> {
    const { options, cancels } = this.#context;
    const { user, database, replication } = readWho(message);
    this.#who = { user, database };
    const policy = options.auth();
    if (policy.loopbackOnly && !isLoopback(this.#peer)) throw fatal('loopbackOnly');
    if (this.#context.tls?.asksCertificate)
      checkClientCertificate(this.#leg.certificates?.client, policy.certificateNamesRole ? user : undefined);
    await this.#take(this.#context.limits.enter(this.#peer));

    const backend = await connectChosen(options.backend, options.hosts, this.#interrupt.signal);
    this.#backend = backend;
    const reader = new LinkReader(backend.link, 'backend');
    backend.link.write(packet);
    const client = this.#leg;
    const greeting = await this.#interruptible(
      authenticate({
        client: { link: client.link, reader: client.reader, private: client.link.encrypted, certificate: client.certificates?.own },
        backend: { link: backend.link, reader, private: backend.private, certificate: backend.certificate },
        user,
        policy,
      }).then(async () => {
        this.#interrupt.signal.throwIfAborted();
        await this.#take(this.#context.limits.authenticated(user));
        return relayGreeting(client.link, reader, { peers: options.peers, check: (parameters) => this.#mustFit(backend, parameters) });
      }),
    );
    if (client.reader.gone) throw new PeerGone('client');
    if (reader.gone) throw new PeerGone('backend');

    client.reader.onGone = () => {};
    const ended = { client: client.reader.ended, backend: reader.ended };
    const [clientBytes, backendBytes] = [client.reader.detach(), reader.detach()];
    const adopted = replication || ended.client || ended.backend ? undefined : options.native?.adopt(client.link, backend.link);
    const links = adopted ?? { client: ended.client ? client.link : withOwnBuffer(client.link), backend: backend.link };
    const handle = options.startSession({
      ...links,
      clientBytes,
      backendBytes,
      parameters: greeting.parameters,
      user,
      database,
      replication,
      backendPid: greeting.key?.backend.pid,
      forwardCancel: cancelForwarding(greeting.key?.backend, backend.again),
    });
    leaveAtEnd(handle, this.#places.splice(0));
    if (greeting.key) cancels.register({ pid: greeting.key.backend.pid, secret: greeting.key.secret }, handle);
    // A FIN that came with the login's last bytes: the session hears of it as of any other, after those bytes.
    if (ended.client) endSoon(links.client);
    if (ended.backend) endSoon(links.backend);
    options.log.debug({ peer: this.#peer, ...printableWho(this.#who), tls: links.client.encrypted, replication }, 'logged in');
    return { kind: 'session', handle };
  }

  /** Another kind of server than was chosen is no place for this client: it failed over a moment ago. */
  #mustFit({ host }: BackendConnection, parameters: ReadonlyMap<string, string>): void {
    const { hosts } = this.#context.options;
    if (!hosts?.contradicts(parameters)) return;
    hosts.failed(host);
    throw backendUnreachable('it has just changed between primary and standby');
  }

  /** A place that comes after the login was interrupted is given back at once. */
  async #take(place: Promise<Leave>): Promise<void> {
    const leave = await place;
    if (this.#interrupt.signal.aborted) leave();
    this.#interrupt.signal.throwIfAborted();
    this.#places.push(leave);
  }

  /** Rejects as soon as the login is interrupted, whatever it waits for. */
  #interruptible<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#interrupt;
    return new Promise((resolve, reject) => {
      const interrupted = (): void => reject(signal.reason as Error);
      if (signal.aborted) interrupted();
      signal.addEventListener('abort', interrupted, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', interrupted));
    });
  }

  async #refuse(error: unknown): Promise<ConnectionEnd> {
    const { log } = this.#context.options;
    const who = { peer: this.#peer, ...(this.#who ? printableWho(this.#who) : {}) };
    this.#backend?.link.destroy();
    if (this.#interruption.kind === 'clientGone' || (error instanceof PeerGone && error.side === 'client')) {
      log.debug(who, 'the client left before it was logged in');
      this.#leg.link.destroy();
      return { kind: 'silent' };
    }
    if (error instanceof BackendRefusal) {
      // Its text is the client's alone to read; the backend's log has it.
      log.info({ ...who, sqlstate: error.sqlstate }, 'the backend refused the login');
    } else {
      const data = this.#interruption.kind === 'error' ? this.#interruption.error.data : loginError(error);
      if (!this.#who && this.#interruption.kind === 'error') {
        log.debug(who, 'connection closed before login');
        this.#leg.link.destroy();
        return { kind: 'silent' };
      }
      const fields = { ...who, sqlstate: data.sqlstate, reason: data.message, ...causeOf(error) };
      if (data.sqlstate === 'XX000') log.error({ ...fields, stack: error instanceof Error ? error.stack : undefined }, 'login failed');
      else if (this.#who) log.info(fields, 'login refused');
      else log.debug(fields, 'login refused');
      this.#leg.link.write(errorResponse({ ...data, severity: 'FATAL' }));
    }
    await lingeringClose(this.#leg.link);
    return { kind: 'refused' };
  }
}

/** A function of its own, as the next two are: a closure inside `#logIn` would keep all of the login for as long as the session lasts. */
function cancelForwarding(key: CancelKey | undefined, again: BackendConnection['again']): LoggedIn['forwardCancel'] {
  return async () => {
    if (key) await forwardCancel(key, { again });
  };
}

function leaveAtEnd(handle: SessionHandle, places: readonly Leave[]): void {
  const leave = (): void => {
    for (const each of places) each();
  };
  handle.done.then(leave, leave);
}

function endSoon(link: Link): void {
  setImmediate(() => link.onEnd());
}

function fatal(name: 'loginTimeout' | 'listenerStopping' | 'loopbackOnly'): PgPierError {
  return new PgPierError(name, {}, { severity: 'FATAL' });
}

function loginError(error: unknown): ErrorData {
  if (error instanceof PeerGone) return new PgPierError('backendClosedLogin').data;
  if (error instanceof BadLength) {
    if (error.side === 'client') return new PgPierError('invalidPasswordPacket').data;
    return new PgPierError('backendLoginProtocol', { detail: 'a message of invalid length' }).data;
  }
  return toErrorData(error);
}

/** What was behind `backendUnreachable`, for the log alone: it names addresses. */
function causeOf(error: unknown): object {
  return error instanceof PgPierError && error.cause instanceof Error ? { cause: error.cause.message } : {};
}

function readWho(message: StartupMessage): { user: string; database: string; replication: boolean } {
  const values = new Map(message.parameters);
  const user = values.get('user') ?? '';
  return { user, database: values.get('database') || user, replication: asksForReplication(values.get('replication') ?? '') };
}

/** Names come from anybody: no control characters and no novels in the log. */
function printableWho(who: { user: string; database: string }): { user: string; database: string } {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a log.
  const printable = (name: string): string => name.slice(0, 128).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
  return { user: printable(who.user), database: printable(who.database) };
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === '::1' || /^(::ffff:)?127\./.test(address));
}
