/** `/metrics` for Prometheus and `/healthz` for whoever balances load. Figures are read when asked for; the relay counts nothing for them. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Address, formatAddress } from './configuration/address.ts';
import type { Figures } from './relays/messages.ts';

/** Of all relays together. */
const metrics: readonly { readonly name: string; readonly help: string; readonly kind: 'counter' | 'gauge'; readonly of: keyof Figures }[] =
  [
    { name: 'pgpier_sessions', help: 'Clients that are logged in', kind: 'gauge', of: 'sessions' },
    { name: 'pgpier_connections_accepted_total', help: 'Connections accepted, cancel requests included', kind: 'counter', of: 'accepted' },
    { name: 'pgpier_logins_total', help: 'Clients that logged in', kind: 'counter', of: 'loggedIn' },
    { name: 'pgpier_logins_refused_total', help: 'Clients that were refused, by PgPier or by the backend', kind: 'counter', of: 'refused' },
    { name: 'pgpier_cancel_requests_total', help: 'Cancel requests received', kind: 'counter', of: 'cancelRequests' },
  ];

export interface HttpServer {
  readonly address: Address;
  /** From now on /healthz answers 503. */
  draining(): void;
  stop(): Promise<void>;
}

export interface HttpOptions {
  /** A row for each relay. */
  readonly figures: () => Promise<readonly Figures[]>;
  /** Whether another process may serve on this address too. */
  readonly sharedPort: boolean;
}

/** @throws Error when the address cannot be had. */
export async function startHttp(at: Address, { figures, sharedPort }: HttpOptions): Promise<HttpServer> {
  // Loaded only where it is used: the start should be quick.
  const prometheus = await import('prom-client');
  const registry = new prometheus.Registry();
  prometheus.collectDefaultMetrics({ register: registry });
  const registered = metrics.map(({ name, help, kind, of }) => {
    const registers = [registry];
    if (kind === 'gauge') {
      const gauge = new prometheus.Gauge({ name, help, registers });
      return { of, set: (value: number) => gauge.set(value) };
    }
    const counter = new prometheus.Counter({ name, help, registers });
    return {
      of,
      set: (value: number) => {
        counter.reset();
        counter.inc(value);
      },
    };
  });
  const read = async (): Promise<string> => {
    const rows = await figures();
    for (const { of, set } of registered) set(rows.reduce((sum, row) => sum + row[of], 0));
    return registry.metrics();
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
      read().then(
        (text) => answer(200, registry.contentType, text),
        () => answer(500, 'text/plain', 'the figures cannot be read\n'),
      );
    } else answer(404, 'text/plain', 'there are /metrics and /healthz\n');
  });
  await listen(server, at, sharedPort);
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

function listen(server: Server, at: Address, reusePort: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(new Error(`cannot serve HTTP on ${formatAddress(at)}: ${reason}`));
    });
    server.listen({ ...at, reusePort }, resolve);
  });
}
