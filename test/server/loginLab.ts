/** What the login tests share: certificates made by openssl, a listener whose sessions are bytes both ways, raw clients, backends that lie. */
import { execFile } from 'node:child_process';
import * as net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { cancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import { startupMessage } from '../../protocol/frontend/startupMessage.ts';
import { startListener } from '../../server/login/listener.ts';
import type { AuthPolicy, BackendTarget, Listener, ListenerOptions } from '../../server/login/listenerOptions.ts';
import { passThrough } from '../../server/session/passThrough.ts';

export { type Certificate, makeCertificate } from '../servers/certificate.ts';

export interface Lab {
  readonly listener: Listener;
  readonly port: number;
  /** Everything logged, as text: to look for what must not be there. */
  readonly log: { text: string };
}

export async function startLab(
  backend: Partial<BackendTarget> & { port: number },
  auth: Partial<AuthPolicy> = {},
  more: Partial<ListenerOptions> = {},
): Promise<Lab> {
  const log = { text: '' };
  const write = (fields: object, message: string): void => {
    log.text += `${JSON.stringify(fields)} ${message}\n`;
  };
  const listener = await startListener({
    host: '127.0.0.1',
    port: 0,
    backend: { host: '127.0.0.1', sslmode: 'disable', ...backend },
    auth: () => ({ method: { kind: 'passthrough' }, trustedBackend: false, loopbackOnly: false, certificateNamesRole: false, ...auth }),
    startSession: passThrough,
    log: { debug: write, info: write, warn: write, error: write },
    drainTimeoutMs: 2_000,
    ...more,
  });
  return { listener, port: listener.address.port, log };
}

/** A raw client: what has come so far, and until when it waits. */
export class RawClient {
  received = Buffer.alloc(0);
  ended = false;
  closed = false;
  readonly socket: net.Socket;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', () => {});
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: false });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawClient(socket);
  }

  send(...parts: (Buffer | string)[]): this {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part as Buffer))));
    return this;
  }

  async sendBytewise(bytes: Buffer): Promise<void> {
    for (const byte of bytes) {
      this.socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
  }

  async until(condition: (client: RawClient) => boolean, ms = 8_000): Promise<this> {
    for (let waited = 0; !condition(this); waited += 5) {
      if (waited > ms)
        throw new Error(`waited in vain; received ${JSON.stringify(this.received.toString('latin1'))}, closed ${this.closed}`);
      await sleep(5);
    }
    return this;
  }

  /** All that came until the other side closed. */
  async toEnd(ms?: number): Promise<Buffer> {
    await this.until((client) => client.ended || client.closed, ms);
    return this.received;
  }

  /** Types of the whole messages received, e.g. `RSSKZ`. */
  types(): string {
    return messages(this.received)
      .map((message) => String.fromCharCode(message[0]!))
      .join('');
  }
}

export function messages(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const next = at + 1 + bytes.readInt32BE(at + 1);
    if (next > bytes.length || next <= at) break;
    found.push(bytes.subarray(at, next));
    at = next;
  }
  return found;
}

/** Severity, SQLSTATE and text of the first ErrorResponse. */
export function errorIn(bytes: Buffer): string | undefined {
  const response = messages(bytes).find((message) => message[0] === 0x45);
  if (!response) return undefined;
  const fields = new Map(
    response
      .subarray(5)
      .toString('utf8')
      .split('\0')
      .filter((field) => field !== '')
      .map((field) => [field[0]!, field.slice(1)] as const),
  );
  return `${fields.get('S')} ${fields.get('C')} ${fields.get('M')}`;
}

export const version3 = { major: 3, minor: 0 };

export function startup(user = 'postgres', more: Readonly<Record<string, string>> = {}, version = version3): Buffer {
  return startupMessage(version, Object.entries({ user, database: 'postgres', ...more }));
}

export function query(text: string): Buffer {
  const content = Buffer.from(`${text}\0`);
  const head = Buffer.from([0x51, 0, 0, 0, 0]);
  head.writeInt32BE(content.length + 4, 1);
  return Buffer.concat([head, content]);
}

/** As a driver does it: on a connection of its own, which is closed when the cancel is delivered. */
export async function cancelQueryOf(client: pg.Client, port: number): Promise<void> {
  const { processID: pid, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const asking = await RawClient.connect(port);
  await asking.send(cancelRequest({ pid, secret })).toEnd();
}

/** A backend that does as the test says with each connection. */
export async function fakeBackend(serve: (socket: net.Socket) => void): Promise<{ port: number; connections: net.Socket[]; stop(): void }> {
  const connections: net.Socket[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    connections,
    stop() {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

/** psql with a conninfo; PG* variables of whoever runs the tests stay out. */
export function psql(conninfo: string, sql: string): Promise<{ code: number; out: string; error: string }> {
  return new Promise((resolve) => {
    const environment = { PATH: process.env.PATH, HOME: '/nonexistent', PGCONNECT_TIMEOUT: '8', PGGSSENCMODE: 'disable' };
    execFile('psql', ['-XAtq', '-c', sql, conninfo], { env: environment, timeout: 15_000 }, (failure, out, error) => {
      resolve({ code: failure ? Number(failure.code ?? 1) : 0, out: out.trim(), error: error.trim() });
    });
  });
}
