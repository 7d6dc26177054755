/** Values that our own statements return and take: PostgreSQL types by OID, text and binary formats (PostgreSQL: pg_type.dat, *_send, *_recv). */

/** pg_type OIDs of the types we return. */
export const typeOid = { bool: 16, int8: 20, text: 25, float8: 701, timestamptz: 1184, jsonb: 3802 } as const;
export type ColumnType = keyof typeof typeOid;

/** pg_type.typlen of the types we return. */
export const typeLength = { bool: 1, int8: 8, text: -1, float8: 8, timestamptz: 8, jsonb: -1 } as const satisfies Record<
  ColumnType,
  number
>;

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** timestamptz is a Date, int8 a bigint or a safe integer, jsonb its text. */
export type Value = string | number | bigint | boolean | Date | null;

/** Milliseconds between the Unix epoch and PostgreSQL's, 2000-01-01 00:00 UTC. */
const postgresEpoch = 946_684_800_000;

function textOf(value: Exclude<Value, null>, type: ColumnType): string {
  if (typeof value === 'boolean') return value ? 't' : 'f';
  if (value instanceof Date) return value.toISOString().replace('T', ' ').replace('Z', '+00');
  return type === 'text' ? String(value).replaceAll('\0', '␀') : String(value);
}

/** The bytes of a DataRow column. `format`: 0 text, 1 binary. */
export function encodeValue(value: Exclude<Value, null>, type: ColumnType, format: number): Buffer {
  if (format === 0 || type === 'text') return Buffer.from(textOf(value, type), 'utf8');
  // A version, then the text.
  if (type === 'jsonb') return Buffer.from(`\x01${textOf(value, type)}`, 'utf8');
  const bytes = Buffer.alloc(typeLength[type]);
  switch (type) {
    case 'bool':
      bytes[0] = value ? 1 : 0;
      break;
    case 'int8':
      bytes.writeBigInt64BE(BigInt(value as number | bigint));
      break;
    case 'float8':
      bytes.writeDoubleBE(Number(value));
      break;
    case 'timestamptz':
      bytes.writeBigInt64BE(BigInt((value as Date).getTime() - postgresEpoch) * 1000n);
      break;
  }
  return bytes;
}

/** The fewest digits that read back as the same float4, as PostgreSQL prints it. */
function shortestFloat4(value: number): string {
  const digits = [6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === value) ?? 9;
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : String(value);
}

/** Reads a binary parameter into its text form, by pg_type OID. */
const binaryReaders: Readonly<Record<number, (bytes: Buffer) => string>> = {
  16: (bytes) => (bytes.readInt8() === 0 ? 'false' : 'true'), // bool
  17: (bytes) => `\\x${bytes.toString('hex')}`, // bytea
  18: (bytes) => bytes.toString('utf8'), // "char"
  19: (bytes) => bytes.toString('utf8'), // name
  20: (bytes) => bytes.readBigInt64BE().toString(), // int8
  21: (bytes) => bytes.readInt16BE().toString(), // int2
  23: (bytes) => bytes.readInt32BE().toString(), // int4
  25: (bytes) => bytes.toString('utf8'), // text
  114: (bytes) => bytes.toString('utf8'), // json
  700: (bytes) => shortestFloat4(bytes.readFloatBE()), // float4
  701: (bytes) => bytes.readDoubleBE().toString(), // float8
  705: (bytes) => bytes.toString('utf8'), // unknown
  1043: (bytes) => bytes.toString('utf8'), // varchar
  3802: (bytes) => bytes.subarray(1).toString('utf8'), // jsonb: a version byte, then text
};

/** A parameter's text, or null where its type has no binary reader here. Throws RangeError for bytes that are too short for their type. */
export function decodeParameter(bytes: Buffer, oid: number, format: number): string | null {
  if (format === 0) return bytes.toString('utf8');
  const read = binaryReaders[oid === 0 ? 25 : oid];
  return read === undefined ? null : read(bytes);
}
