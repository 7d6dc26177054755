/** Servers that are not what a URI says, on loopback. Each ends with the test that started it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a server ends with: a test's context, or what keeps a list for an `after`. */
export interface Owner {
  after(end: () => void): void;
}

export interface FaultServer {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** `METHOD /path?query` of each request so far. */
  readonly requests: string[];
}

/** Answers HTTP as it is told to; bodies of requests are thrown away. */
export async function serve(t: Owner, answer: RequestListener): Promise<FaultServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    answer(request, response);
  });
  return { endpoint: `http://127.0.0.1:${await listen(t, server)}`, requests };
}

export interface Relayed {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Stands before a real server (`http://host:port`), keeps signatures valid, and may answer in its place or change what it answered. */
export async function serveBefore(
  t: Owner,
  target: string,
  change: {
    /** A status and a body to answer with; undefined to pass the request on. */
    readonly instead?: (request: Relayed) => readonly [status: number, body: string] | undefined;
    readonly answer?: (request: Relayed, body: Buffer) => Buffer;
  },
): Promise<{ readonly endpoint: string; readonly requests: Relayed[] }> {
  const requests: Relayed[] = [];
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    const relayed = { method, url, headers, body: Buffer.concat(await request.toArray()) };
    requests.push(relayed);
    const instead = change.instead?.(relayed);
    if (instead) return void response.writeHead(instead[0], { 'content-type': 'text/xml' }).end(instead[1]);
    const { hostname, port } = new URL(target);
    const passed = httpRequest({ hostname, port, method, path: url, headers }, async (answer) => {
      const body = Buffer.concat(await answer.toArray());
      const changed = change.answer?.(relayed, body) ?? body;
      const own = changed === body ? answer.headers : { ...answer.headers, 'content-length': String(changed.length) };
      response.writeHead(answer.statusCode ?? 502, own).end(changed);
    });
    passed.on('error', () => response.destroy()).end(relayed.body);
  });
  return { endpoint: `http://127.0.0.1:${await listen(t, server)}`, requests };
}

/** Takes connections and says nothing, or what `onSocket` says. Answers its port. */
export async function serveTcp(t: Owner, onSocket: (socket: Socket) => void = () => {}): Promise<number> {
  const server = createTcpServer((socket) => onSocket(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

export interface TlsFaultServer {
  readonly port: number;
  /** The PEM file of the certificate, which is its own authority. */
  readonly certificate: string;
  /** The PEM file of its key. */
  readonly key: string;
}

/** HTTPS with a certificate of `name` that nobody signed. Undefined where there is no openssl. */
export async function serveTls(t: Owner, name: string, answer: RequestListener): Promise<TlsFaultServer | undefined> {
  const home = mkdtempSync(join(tmpdir(), 'pgp-tls-'));
  t.after(() => rmSync(home, { recursive: true }));
  const certificate = join(home, 'cert.pem');
  const key = join(home, 'key');
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  const files = ['-keyout', key, '-out', certificate];
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', ...subject, ...files], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    request.resume();
    answer(request, response);
  });
  return { port: await listen(t, server), certificate, key };
}

async function listen(t: Owner, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
