/** A row of a table of errors. `{…}` in a text is filled from the values given to `PgPierError`. */
export interface ErrorEntry {
  readonly sqlstate: string;
  readonly text: string;
  readonly hint?: string;
}
