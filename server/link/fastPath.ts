/** What carries an ordinary session's messages past JavaScript, where there is such a thing (server/native/); the relay does all that it does not. */
import type { TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import type { LedgerState } from '../session/ledger.ts';

/** Where the fast path stopped: between two messages of each direction, but for those that are passing. */
export interface LeftPath extends LedgerState {
  /** Read, and not passed on. */
  readonly clientBytes: Buffer;
  readonly backendBytes: Buffer;
  /** How many bytes of a message that began to pass have yet to come. */
  readonly clientPassing: number;
  readonly backendPassing: number;
  /** Whether something written to it waits: its `onDrain` will come, and until then the other is not read. */
  readonly clientBusy: boolean;
  readonly backendBusy: boolean;
  /** Of the last ReadyForQuery; `wasIdle`: any of them since `begin` said idle. */
  readonly status: TransactionStatus;
  readonly wasIdle: boolean;
}

/** Of one session's two links. While it forwards, they tell nothing to their handlers. */
export interface FastPath {
  /** Something came that is not for it, or a link ended: the relay's turn. */
  onLeft: (left: LeftPath) => void;
  /** ParameterStatus messages that have passed, whole, one behind the other. */
  onParameters: (messages: Buffer) => void;
  readonly forwarding: boolean;
  /** While it forwards: all is answered, and the backend is outside a transaction. */
  readonly idle: boolean;
  /** Takes both links over, and resumes them. To be called at rest: nothing unanswered, unsent or half read. Does nothing where a link is gone. */
  begin(status: TransactionStatus): void;
  /** Undefined where it does not forward. */
  leave(): LeftPath | undefined;
}
