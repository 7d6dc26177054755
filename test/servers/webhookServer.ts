/**
 * nginx as the endpoint of webhooks, for one test file: it takes whatever is posted over TLS, and writes down what came. Looked for where `nginx.ts` looks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Certificates, makeCertificates } from './certificates.ts';
import { end, findBinary, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface WebhookServer {
  /** On localhost, with TLS; `mutual` asks for a client certificate. */
  readonly ports: Readonly<Record<'secure' | 'mutual', number>>;
  readonly tls: Certificates;
  /** What came so far. */
  requests(): readonly WebhookRequest[];
  stop(): Promise<void>;
}

export interface WebhookRequest {
  readonly request: string;
  readonly body: string;
  readonly type: string;
  /** The user of Basic authentication. */
  readonly user: string;
  /** The subject of the client's certificate. */
  readonly client: string;
}

export async function startWebhookServer(): Promise<WebhookServer | { readonly missing: string }> {
  const program = findBinary('nginx');
  if (program === undefined) return { missing: 'nginx: no nginx on the PATH or in /usr/sbin' };
  const home = mkdtempSync(join(tmpdir(), 'pgp-nginx-'));
  let running: ChildProcess | undefined;
  let watchdog: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    if (running?.pid !== undefined) await end(running.pid, 'SIGTERM');
    watchdog?.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const tls = makeCertificates(home);
    const [secure, mutual, inner] = await Promise.all([freePort(), freePort(), freePort()]);
    writeFileSync(join(home, 'nginx.conf'), configuration(home, { secure, mutual, inner }));
    const log = openSync(join(home, 'log'), 'a');
    running = spawn(program, ['-c', join(home, 'nginx.conf'), '-p', home, '-e', join(home, 'log')], {
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    running.unref();
    watchdog = guard([running.pid!], home);
    for (let waited = 0; !(await listens(mutual)); waited += 50) {
      if (waited > 20_000 || running.exitCode !== null) throw new Error(`nginx did not start: ${readFileSync(join(home, 'log'), 'utf8')}`);
      await sleep(50);
    }
    const requests = () =>
      readFileSync(join(home, 'requests'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as WebhookRequest);
    return { ports: { secure, mutual }, tls, requests, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function configuration(home: string, ports: { secure: number; mutual: number; inner: number }): string {
  const server = (port: number, verify: string): string => `
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${home}/server.crt;
    ssl_certificate_key ${home}/server.key;
    ssl_client_certificate ${home}/ca.crt;
    ssl_verify_client ${verify};
    location /refused { return 403; }
    location /moved { return 307 https://localhost:${port}/; }
    location / { proxy_pass http://127.0.0.1:${ports.inner}; }
    access_log ${home}/requests requests;
  }`;
  return `daemon off;
master_process off;
pid ${home}/pid;
events { worker_connections 64; }
http {
  log_format requests escape=json '{"request":"$request","body":"$request_body","type":"$content_type","user":"$remote_user","client":"$ssl_client_s_dn"}';
  access_log off;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;${server(ports.secure, 'off')}${server(ports.mutual, 'on')}
  server {
    listen 127.0.0.1:${ports.inner};
    location / { return 200 "taken"; }
  }
}
`;
}

async function listens(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
