/** Bind: `B`, portal, statement, parameter formats, parameter values, result formats (PostgreSQL: extended query). */
import { frontendType, MessageReader, MessageWriter } from '../frame.ts';

export interface Bind {
  /** latin1: one character per byte. */
  readonly portal: string;
  readonly statement: string;
  /** 0 text, 1 binary; none: all text; one: for all. */
  readonly parameterFormats: readonly number[];
  readonly values: readonly (Buffer | null)[];
  readonly resultFormats: readonly number[];
}

/** Null where the message is not laid out as a Bind: PostgreSQL is to judge it. */
export function readBind(message: Buffer): Bind | null {
  try {
    const reader = new MessageReader(message);
    const portal = reader.name();
    const statement = reader.name();
    const parameterFormats = Array.from({ length: reader.count() }, () => reader.int16());
    const values = Array.from({ length: reader.count() }, () => {
      const length = reader.int32();
      return length === -1 ? null : Buffer.from(reader.bytes(length));
    });
    const resultFormats = Array.from({ length: reader.count() }, () => reader.int16());
    return reader.atEnd ? { portal, statement, parameterFormats, values, resultFormats } : null;
  } catch {
    return null;
  }
}

/** The portal and statement a Bind names, from its first bytes alone; null where they are not all there. */
export function readBindNames(start: Buffer): { portal: string; statement: string } | null {
  try {
    const reader = new MessageReader(start);
    return { portal: reader.name(), statement: reader.name() };
  } catch {
    return null;
  }
}

/** The same Bind with every value NULL: what a shadow is bound with, so that no value reaches the backend's log. */
export function writeBindWithNulls(bind: Bind): Buffer {
  const writer = new MessageWriter(frontendType.bind).bytes(Buffer.from(`${bind.portal}\0${bind.statement}\0`, 'latin1'));
  writer.count(bind.parameterFormats.length);
  for (const format of bind.parameterFormats) writer.int16(format);
  writer.count(bind.values.length);
  for (const _ of bind.values) writer.int32(-1);
  writer.count(bind.resultFormats.length);
  for (const format of bind.resultFormats) writer.int16(format);
  return writer.finish();
}
