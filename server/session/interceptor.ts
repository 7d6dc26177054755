/** What the relay tells and asks the session that it belongs to. */
import type { TransactionStatus } from '../../protocol/backend/readyForQuery.ts';

/** A ledger note. `whole`: replies to this entry are shown whole and may be swallowed; else only their types are. */
export interface Noted {
  readonly whole: boolean;
}

export interface Interceptor<N extends Noted> {
  /** Whether every message that names a statement or portal must be shown, because names of ours exist. */
  readonly engaged: boolean;
  /** Nothing of ours is there or under way: messages that do not look like ours may pass unseen. */
  readonly forwardsOnly: boolean;
  /**
   * One whole client message. `forward`: it passes (its ledger entry has been pushed); `taken`: it does not; `hold`: neither it nor what follows
   * passes until `release()`, when it is shown again.
   */
  clientMessage(type: number, message: Buffer): 'forward' | 'taken' | 'hold';
  /** A message too long to be shown; its first bytes. */
  clientGiant(type: number, start: Buffer): void;
  /** A reply to a noted entry, after the ledger took it; `message` only for `whole` notes. */
  reply(note: N, type: number, message: Buffer | undefined): 'relay' | 'swallow';
  ready(status: TransactionStatus): void;
  parameterStatus(name: string, value: string): void;
  /** Bytes of the client or of the backend came while held. */
  moved(): void;
  /** The client sent FIN; everything before it has been consumed or is held. */
  clientEnded(): void;
  /** The session is over; the relay closes what is left of it. `nonsense`: of the backend's, where an answer to a message of ours should be. */
  ended(by: 'client' | 'backend' | 'proxy' | 'nonsense'): void;
}
