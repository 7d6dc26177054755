/** What the forward path needs to know of each message type. */
import { backendType as backend, frontendType as frontend, headLength } from '../../protocol/frame.ts';
import { sent } from './ledger.ts';

/** Client message type → what it adds to the ledger; 0: nothing. */
export const entryOf = new Uint8Array(256);
entryOf[frontend.parse] = sent.parse;
entryOf[frontend.bind] = sent.bind;
entryOf[frontend.describe] = sent.describe;
entryOf[frontend.close] = sent.close;
entryOf[frontend.execute] = sent.execute;
entryOf[frontend.sync] = sent.sync;
entryOf[frontend.query] = sent.query;
entryOf[frontend.functionCall] = sent.functionCall;
entryOf[frontend.copyDone] = sent.copyEnd;
entryOf[frontend.copyFail] = sent.copyEnd;

/** Client message types that are shown while engaged. */
export const namesThings = new Uint8Array(256);
for (const type of [frontend.parse, frontend.query, frontend.bind, frontend.execute, frontend.close]) namesThings[type] = 1;

/** Messages that come between any two others and complete nothing (ASYNC-1). */
export function asynchronous(type: number): boolean {
  return type === backend.noticeResponse || type === backend.notificationResponse || type === backend.parameterStatus;
}

/** Where the text of a Query or Parse begins; in a Parse it stands behind the statement's name. */
export function textStart(type: number, chunk: Buffer, position: number): number {
  const body = position + headLength;
  if (type === frontend.query) return body;
  return chunk[body] === 0 ? body + 1 : chunk.indexOf(0, body) + 1;
}
