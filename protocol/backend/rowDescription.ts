/** RowDescription: `T`, int16 count, per column: name, table OID, attribute number, type OID, type length, type modifier, format. */
import { backendType, MessageWriter } from '../frame.ts';
import { type Column, typeLength, typeOid } from '../values.ts';

/** `formats` as in Bind: none: all text; one: for all; else one a column. */
export function rowDescription(columns: readonly Column[], formats: readonly number[] = []): Buffer {
  const writer = new MessageWriter(backendType.rowDescription).count(columns.length);
  columns.forEach((column, index) => {
    writer.string(column.name).oid(0).int16(0).oid(typeOid[column.type]).int16(typeLength[column.type]).int32(-1);
    writer.int16(formatOf(formats, index));
  });
  return writer.finish();
}

/** The format code that applies to column or parameter `index`. */
export function formatOf(formats: readonly number[], index: number): number {
  return formats.length === 1 ? formats[0]! : (formats[index] ?? 0);
}
