/** Client certificates as PostgreSQL's `clientcert=verify-ca` and `clientcert=verify-full` have them. */
import { PgPierError } from '../../errors.ts';
import type { ClientCertificate } from './tls.ts';

/**
 * @param role what the common name must be, byte for byte; undefined: any certificate of a known authority will do
 * @throws PgPierError `clientCertificateMissing`, `clientCertificateRole`, with the reason as `cause` for the log alone
 */
export function checkClientCertificate(certificate: ClientCertificate | undefined, role: string | undefined): void {
  if (certificate?.kind !== 'trusted') {
    const reason = certificate?.kind === 'untrusted' ? `its certificate is not trusted: ${certificate.reason}` : 'it showed no certificate';
    throw refusal(new PgPierError('clientCertificateMissing', {}, { severity: 'FATAL' }), reason);
  }
  if (role === undefined || certificate.commonName === role) return;
  throw refusal(new PgPierError('clientCertificateRole', { role }, { severity: 'FATAL' }), "the certificate's common name is not the role");
}

function refusal(error: PgPierError, reason: string): PgPierError {
  error.cause = new Error(reason);
  return error;
}
