/** Certificates for a test's servers, made by openssl and removed with the process. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

const directory = mkdtempSync(join(tmpdir(), 'pgpier-certificates-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
let certificates = 0;

/** Self-signed for 127.0.0.1 and localhost. */
export function makeCertificate(algorithm: readonly string[] = ['-newkey', 'rsa:2048'], digest = '-sha256'): Certificate {
  const base = join(directory, String(certificates++));
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const files = ['-keyout', `${base}.key`, '-out', `${base}.crt`];
  execFileSync('openssl', ['req', '-x509', ...algorithm, digest, '-nodes', '-days', '2', ...names, ...files], { stdio: 'ignore' });
  return {
    cert: readFileSync(`${base}.crt`, 'utf8'),
    key: readFileSync(`${base}.key`, 'utf8'),
    certFile: `${base}.crt`,
    keyFile: `${base}.key`,
  };
}
