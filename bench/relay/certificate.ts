/** A certificate for the TLS rounds: every proxy shows the same one. */
import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { join } from 'node:path';

/** RSA-2048, self-signed, for localhost; paths of two PEM files that `owner` may read. */
export function selfSigned(directory: string, owner?: { readonly uid: number; readonly gid: number }): { cert: string; key: string } {
  const cert = join(directory, 'server.crt');
  const key = join(directory, 'server.key');
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert];
  execFileSync('openssl', request, { stdio: 'ignore' });
  if (owner) for (const file of [cert, key]) chownSync(file, owner.uid, owner.gid);
  return { cert, key };
}
