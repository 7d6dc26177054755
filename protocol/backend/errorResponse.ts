/** ErrorResponse `E` and NoticeResponse `N`: fields of one letter and a string, closed by a zero (PostgreSQL: error and notice message fields). */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';

export interface ErrorFields {
  readonly severity?: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** 1-based, in characters. */
  readonly position?: number;
}

/** A NUL cannot be sent; it is shown as U+2400. */
const printable = (text: string): string => text.replaceAll('\0', '␀');

function write(type: number, fields: ErrorFields, severity: string): Buffer {
  const writer = new MessageWriter(type);
  const field = (letter: string, value: string | number | undefined): void => {
    if (value !== undefined) writer.string(letter + printable(String(value)));
  };
  field('S', severity);
  field('V', severity);
  field('C', fields.sqlstate);
  field('M', fields.message);
  field('D', fields.detail);
  field('H', fields.hint);
  field('P', fields.position);
  return writer.byte(0).finish();
}

export function errorResponse(fields: ErrorFields): Buffer {
  return write(backendType.errorResponse, fields, fields.severity ?? 'ERROR');
}

export function noticeResponse(fields: ErrorFields): Buffer {
  return write(backendType.noticeResponse, fields, fields.severity ?? 'NOTICE');
}

/** The fields of an ErrorResponse or NoticeResponse by their letters; what cannot be read is left out. */
export function readErrorFields(message: Buffer): Map<string, string> {
  const fields = new Map<string, string>();
  try {
    const reader = new MessageReader(message);
    for (;;) {
      const letter = reader.byte();
      if (letter === 0) return fields;
      fields.set(String.fromCharCode(letter), reader.stringBytes().toString('utf8'));
    }
  } catch {
    return fields;
  }
}
