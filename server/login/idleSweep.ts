/**
 * Ends sessions that nobody uses, as PostgreSQL's idle_session_timeout. One timer looks at all of them, so that the forward path need not note a
 * time for each message: a session ends late by up to a quarter of the timeout, never early.
 */
import type { SessionHandle } from './loggedIn.ts';

const longestPeriodMs = 15_000;

/** @returns what ends the looking */
export function startIdleSweep(sessions: ReadonlySet<SessionHandle>, timeoutMs: number): () => void {
  /** What each idle session's mark was, and when it was first seen so. */
  const seen = new WeakMap<SessionHandle, { readonly mark: number; readonly since: number }>();
  const sweep = (): void => {
    const now = performance.now();
    for (const session of sessions) {
      const mark = session.idleMark();
      const before = seen.get(session);
      if (mark === undefined) seen.delete(session);
      else if (before?.mark !== mark) seen.set(session, { mark, since: now });
      else if (now - before.since >= timeoutMs) session.endIdle();
    }
  };
  const timer = setInterval(sweep, Math.min(timeoutMs / 8, longestPeriodMs / 2));
  timer.unref();
  return () => clearInterval(timer);
}
