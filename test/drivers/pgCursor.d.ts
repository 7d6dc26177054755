/** pg-cursor ships no types; this is what the tests use of it. */
declare module 'pg-cursor' {
  import type { Submittable } from 'pg';
  export default class Cursor implements Submittable {
    constructor(text: string, values?: unknown[]);
    submit(connection: unknown): void;
    read(rows: number): Promise<Record<string, unknown>[]>;
    close(): Promise<void>;
  }
}
