/** What the login phase hands to a session once the backend's first ReadyForQuery has been relayed. */
import type { FastPath } from '../link/fastPath.ts';
import type { Link } from '../link/link.ts';

export interface LoggedIn {
  /** Both links come paused: set the handlers, then `resume()`. */
  readonly client: Link;
  readonly backend: Link;
  /** Of these two links; absent where there is none. */
  readonly fastPath?: FastPath;
  /** Bytes read from the client and not yet forwarded: messages it sent without waiting for the greeting. */
  readonly clientBytes: Buffer;
  /** Bytes read from the backend behind the first ReadyForQuery, not yet relayed. */
  readonly backendBytes: Buffer;
  /** ParameterStatus as of the greeting; the session keeps it current. */
  readonly parameters: Map<string, string>;
  /** The startup packet's `user` and `database` (which defaults to the user). */
  readonly user: string;
  readonly database: string;
  /** A walsender session (`replication` in the startup packet): bytes both ways, nothing is looked at. */
  readonly replication: boolean;
  /** The backend's pid from BackendKeyData; undefined where it sent none. */
  readonly backendPid: number | undefined;
  /** Sends CancelRequest with the backend's own key on a new connection; resolves when the backend closed it or after a timeout. */
  forwardCancel(): Promise<void>;
}

/** The session as the listener and the cancel registry see it. */
export interface SessionHandle {
  /** The client's cancel: aborts a statement of ours if one runs, else goes to the backend. Resolves when it has been delivered. */
  cancel(): Promise<void>;
  /** Ends the session when it is next idle (drain): FATAL 57P01 as PostgreSQL's shutdown says it. Resolves when it is gone. */
  drain(): Promise<void>;
  /** While the session waits for its client outside a transaction: another number after each message. Undefined while it does not. */
  idleMark(): number | undefined;
  /** FATAL 57P05, as PostgreSQL's idle_session_timeout says it; nothing where the session is not idle any more. */
  endIdle(): void;
  /** Ends it now. */
  destroy(): void;
  readonly done: Promise<void>;
}

export type StartSession = (loggedIn: LoggedIn) => SessionHandle;
