/** `/metrics` for Prometheus and `/healthz` for whoever balances load. Figures are read when asked for; the relay counts nothing for them. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Address, formatAddress } from './configuration/address.ts';

export interface Figure {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  read(): number;
}

export interface HttpServer {
  readonly address: Address;
  /** From now on /healthz answers 503. */
  draining(): void;
  stop(): Promise<void>;
}

/** @throws Error when the address cannot be had. */
export async function startHttp(at: Address, figures: () => readonly Figure[]): Promise<HttpServer> {
  // Loaded only where it is used: the start should be quick.
  const prometheus = await import('prom-client');
  const registry = new prometheus.Registry();
  prometheus.collectDefaultMetrics({ register: registry });
  const registered = new Set<string>();
  const register = (): void => {
    for (const { name, help, kind, read } of figures()) {
      if (registered.has(name)) continue;
      registered.add(name);
      if (kind === 'gauge')
        new prometheus.Gauge({
          name,
          help,
          registers: [registry],
          collect() {
            this.set(read());
          },
        });
      else
        new prometheus.Counter({
          name,
          help,
          registers: [registry],
          collect() {
            this.reset();
            this.inc(read());
          },
        });
    }
  };

  let health: 'ok' | 'draining' = 'ok';
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(request.method === 'HEAD' ? undefined : body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'text/plain', 'only GET\n');
    else if (path === '/healthz') answer(health === 'ok' ? 200 : 503, 'application/json', `${JSON.stringify({ status: health })}\n`);
    else if (path === '/metrics') {
      register();
      registry.metrics().then(
        (text) => answer(200, registry.contentType, text),
        () => answer(500, 'text/plain', 'the figures cannot be read\n'),
      );
    } else answer(404, 'text/plain', 'there are /metrics and /healthz\n');
  });
  await listen(server, at);
  const { port } = server.address() as AddressInfo;
  return {
    address: { host: at.host, port },
    draining: () => {
      health = 'draining';
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, at: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(new Error(`cannot serve HTTP on ${formatAddress(at)}: ${reason}`));
    });
    server.listen(at.port, at.host, resolve);
  });
}
