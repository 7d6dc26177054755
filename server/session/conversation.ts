/** What the handling of statements of ours shares in both protocols: the ledger's notes, and what a session offers to a statement. */
import type { Notice } from '../../commands/command.ts';
import type { ErrorData } from '../../errors.ts';
import type { TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import type { Answer, Question } from './injection.ts';
import type { NameNote, OwnNames } from './ownNames.ts';
import type { Relay } from './relay.ts';
import type { Services } from './statementRun.ts';

export type Note =
  | NameNote
  /** Sent in place of a statement of ours that failed; PostgreSQL's error is replaced by ours. `name`: of the Parse it stands for. */
  | { readonly whole: true; readonly kind: 'refusal'; readonly error: ErrorData; readonly name?: string }
  | { readonly whole: true; readonly kind: 'question'; readonly question: Question }
  | PermissionNote
  /** A Sync whose ReadyForQuery waits until the job before it is done. */
  | { readonly whole: true; readonly kind: 'sync'; readonly resolve: (ready: Buffer) => void };

/** The Execute of a shadow: its CommandComplete is our permission to begin. */
export interface PermissionNote {
  readonly whole: true;
  readonly kind: 'permission';
  readonly portal: string;
  readonly maxRows: number;
  /** Whether an Execute of the same pipeline came before, so that a transaction is open although the last status was `I`. */
  readonly afterExecute: boolean;
  /** A row came: the name belongs to something of PostgreSQL's. */
  foreign: boolean;
}

export type Verdict = 'forward' | 'taken' | 'hold';

/** What a session offers to the handling of a statement. */
export interface Conversation {
  readonly relay: Relay<Note>;
  readonly names: OwnNames;
  readonly services: Services;
  /** The id in the catalog of the client session in its present transaction. */
  readonly id: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** Of the last ReadyForQuery. */
  readonly status: TransactionStatus;
  /** A cancel is on its way to the backend and may hit whatever runs there (CANCEL-3). */
  readonly cancelling: boolean;
  readonly closed: boolean;
  /** Holds the client until every reply is in; then its message is shown again. */
  settle(): 'hold';
  /** Holds the client: a statement of ours is under way in the backend. */
  own(phase: 'permission' | 'asking'): void;
  ask(text: string, protocol: 'simple' | 'extended'): Promise<Answer>;
  /** Work has begun; aborted by cancel, the client's leaving, the backend's end. */
  run(job: boolean): AbortController;
  notice(notice: Notice): void;
  /** Resolves with the Sync's ReadyForQuery where a Sync is the client's next message; `none` for another message, `gone` if the client left. */
  nextSync(): Promise<Buffer | 'none' | 'gone'>;
  /** The statement is answered: what was held goes on. */
  finish(): void;
  errorBytes(error: ErrorData): Buffer;
}
