/**
 * A real web server for one test file: nginx with its module for PUT and DELETE, plain on one port, and on another with TLS and a password.
 * Looked for on the PATH and in /usr/sbin (`apt-get install --no-install-recommends nginx-light`).
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinary, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export type Nginx = {
  /** `127.0.0.1:port`, without a password. */
  readonly plain: string;
  /** `localhost:port`, by a certificate that `ca` signed. */
  readonly tls: string;
  /** PEM file. */
  readonly ca: string;
  readonly user: string;
  readonly password: string;
  /** What both serve. */
  readonly root: string;
  /** One line for each request: `METHOD status bytes range`. */
  requests(): string[];
  stop(): Promise<void>;
};

const user = 'ann';
const password = 'p@ss:w/ord%';

/** Answers why there is none; throws when one is there and does not come up. */
export async function startNginx(): Promise<Nginx | { readonly missing: string }> {
  const binary = findBinary('nginx');
  if (binary === undefined) return { missing: 'nginx: no nginx on the PATH or in /usr/sbin' };
  const home = mkdtempSync(join(tmpdir(), 'pgp-nginx-'));
  const root = join(home, 'root');
  mkdirSync(root);
  const [plain, tls] = [await freePort(), await freePort()];
  makeCertificate(home);
  writeFileSync(join(home, 'users'), `${user}:{SHA}${createHash('sha1').update(password).digest('base64')}\n`);
  writeFileSync(join(home, 'nginx.conf'), configuration(home, plain, tls));
  const log = openSync(join(home, 'log'), 'a');
  const child = spawn(binary, ['-p', home, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')], {
    cwd: home,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const watchdog = guard(child.pid === undefined ? [] : [child.pid], home);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    watchdog.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  for (let waited = 0; !((await listens(plain)) && (await listens(tls))); waited += 50) {
    if (waited < 10_000 && child.exitCode === null) {
      await sleep(50);
      continue;
    }
    const told = readFileSync(join(home, 'error.log'), 'utf8').slice(-1500);
    await stop();
    throw new Error(`nginx did not start: ${told}`);
  }
  return {
    plain: `127.0.0.1:${plain}`,
    tls: `localhost:${tls}`,
    ca: join(home, 'ca.pem'),
    user,
    password,
    root,
    requests: () => readFileSync(join(home, 'requests.log'), 'utf8').split('\n').filter(Boolean),
    stop,
  };
}

/** With master_process off it runs as whoever started it. Folders for what is half there lie beside the root, so that a rename is all it takes. */
function configuration(home: string, plain: number, tls: number): string {
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${home}/${name};`).join(' ');
  return `
    daemon off; master_process off; pid ${home}/pid; error_log ${home}/error.log;
    events { worker_connections 256; }
    http {
      log_format short '$request_method $status $body_bytes_sent $http_range'; access_log ${home}/requests.log short;
      ${places} client_max_body_size 0; default_type application/octet-stream;
      root ${home}/root; dav_methods PUT DELETE; create_full_put_path on; dav_access user:rw;
      server { listen 127.0.0.1:${plain}; }
      server {
        listen 127.0.0.1:${tls} ssl; ssl_certificate ${home}/cert.pem; ssl_certificate_key ${home}/key.pem;
        auth_basic files; auth_basic_user_file ${home}/users;
        location /small/ { client_max_body_size 1k; }
        location /fixed/ { limit_except GET { deny all; } }
      }
    }`;
}

/** An authority of its own, and a certificate for localhost. */
function makeCertificate(home: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: home, stdio: 'ignore' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  openssl('req', ...key.slice(0, 3), '-subj', '/CN=localhost', '-keyout', 'key.pem', '-out', 'request.pem');
  writeFileSync(join(home, 'names'), 'subjectAltName=DNS:localhost');
  openssl('x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2', '-extfile', 'names', '-out', 'cert.pem');
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
