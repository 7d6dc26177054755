/** DataRow: `D`, int16 count, per column int32 length (−1: NULL) and bytes. Reading is for the answers to our own questions. */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';
import { type Column, encodeValue, type Value } from '../values.ts';
import { formatOf } from './rowDescription.ts';

export function dataRow(columns: readonly Column[], row: readonly Value[], formats: readonly number[] = []): Buffer {
  const writer = new MessageWriter(backendType.dataRow).count(columns.length);
  columns.forEach((column, index) => {
    const value = row[index] ?? null;
    if (value === null) {
      writer.int32(-1);
      return;
    }
    const bytes = encodeValue(value, column.type, formatOf(formats, index));
    writer.int32(bytes.length).bytes(bytes);
  });
  return writer.finish();
}

/** The columns as text, NULL as null. */
export function readDataRow(message: Buffer): (string | null)[] {
  const reader = new MessageReader(message);
  return Array.from({ length: reader.count() }, () => {
    const length = reader.int32();
    return length === -1 ? null : reader.bytes(length).toString('utf8');
  });
}
