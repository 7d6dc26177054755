/** The log: pino on stderr, one JSON object a line; on a terminal, a line to read. Secrets print as `***` by their type and by name. */
import { Writable } from 'node:stream';
import pino, { type Logger } from 'pino';
import type { LogLevel } from './config.ts';

export type Log = Logger;

const REDACTED = ['password', 'secret', 'secretKey', 'uri', 'url', 'query', 'text', 'parameters'];

/** @param terminal whether to write for a reader; default: whether stderr is one */
export function openLog(level: LogLevel, terminal = process.stderr.isTTY === true): Log {
  return pino(
    {
      level,
      base: null,
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '***' },
      // pino's own serializer copies every property of an error, and PostgreSQL's errors quote values in theirs.
      serializers: { err: (error: unknown) => describeError(error), error: (error: unknown) => describeError(error) },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    terminal ? readable() : pino.destination({ fd: 2, sync: true }),
  );
}

/** Kind, SQLSTATE or system code, message and stack. */
export function describeError(error: unknown): object | string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return { type: error.name, message: error.message, ...(typeof code === 'string' && { code }), stack: error.stack };
}

function readable(): Writable {
  return new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      const { level, time, msg, err } = JSON.parse(line) as { level: number; time: string; msg?: string; err?: { stack?: string } };
      const name = level >= 40 ? `${pino.levels.labels[level]}: ` : '';
      process.stderr.write(`${time.slice(11, 19)} ${name}${msg ?? ''}${err?.stack === undefined ? '' : `\n${err.stack}`}\n`, () => done());
    },
  });
}
