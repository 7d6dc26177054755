/** Values that our own statements return and take: PostgreSQL types by OID, text and binary formats (PostgreSQL: pg_type.dat, *_send, *_recv). */

/** pg_type OIDs of the types we return. */
export const typeOid = { bool: 16, int8: 20, text: 25, float8: 701, timestamptz: 1184 } as const;
export type ColumnType = keyof typeof typeOid;

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** timestamptz is a Date, int8 a bigint or a safe integer. */
export type Value = string | number | bigint | boolean | Date | null;
