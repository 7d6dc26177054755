/** ReadyForQuery: `Z`, transaction status. */
import { backendType, headLength } from '../frame.ts';

/** I: idle; T: in a transaction block; E: in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E';

export function readyForQuery(status: TransactionStatus): Buffer {
  return Buffer.from([backendType.readyForQuery, 0, 0, 0, 5, status.charCodeAt(0)]);
}

export function readReadyForQuery(message: Buffer): TransactionStatus {
  return String.fromCharCode(message[headLength]!) as TransactionStatus;
}
