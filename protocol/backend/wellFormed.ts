/** Whether a backend message ends its strings: a reader that looks for their NULs would otherwise run beyond the message, or for ever. */
import { backendType as backend, headLength } from '../frame.ts';

const sasl = 10;

/** @param message whole, with its head. Types without strings, and unknown ones, are well-formed. */
export function isWellFormed(message: Buffer): boolean {
  const body = message.subarray(headLength);
  switch (message[0]) {
    case backend.errorResponse:
    case backend.noticeResponse:
      return endsList(body);
    case backend.parameterStatus:
      return strings(body, 0, 2) === body.length;
    case backend.commandComplete:
      return strings(body, 0, 1) === body.length;
    case backend.notificationResponse:
      return strings(body, 4, 2) === body.length;
    case backend.authentication:
      return body.length >= 4 && (body.readInt32BE(0) !== sasl || endsList(body.subarray(4)));
    case backend.rowDescription:
      return describesRows(body);
    default:
      return true;
  }
}

/** A list of strings, each of a byte at least, and the empty one behind the last. */
const endsList = (body: Buffer): boolean => body.at(-1) === 0 && (body.length === 1 || body.at(-2) === 0);

/** Where so many strings end; −1 where they do not. */
function strings(body: Buffer, from: number, count: number): number {
  let at = from;
  for (let seen = 0; seen < count; seen++) {
    const end = at <= body.length ? body.indexOf(0, at) : -1;
    if (end < 0) return -1;
    at = end + 1;
  }
  return at;
}

/** A count, then for each column its name and 18 bytes. */
function describesRows(body: Buffer): boolean {
  if (body.length < 2) return false;
  let at = 2;
  for (let column = body.readUInt16BE(0); column > 0; column--) {
    const end = strings(body, at, 1);
    if (end < 0 || end + 18 > body.length) return false;
    at = end + 18;
  }
  return at === body.length;
}
