/**
 * Questions of our own on the client's backend session, between the client's messages (own statements §3, §4). Never a Sync (law 5): in the extended protocol
 * a Flush brings the answer out; in the simple protocol the question is a Query in the place of the client's.
 */
import { randomBytes } from 'node:crypto';
import { serialize } from 'pg-protocol';
import { readDataRow } from '../../protocol/backend/dataRow.ts';
import { readReadyForQuery, type TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import { backendType as backend } from '../../protocol/frame.ts';
import { writeParse } from '../../protocol/frontend/parse.ts';
import { type Sent, sent } from './ledger.ts';

/**
 * Text that PostgreSQL refuses, sent in place of a statement of ours that failed: the transaction must fail too (law 6). One that cannot be parsed, as it never
 * becomes the unnamed portal: a portal that failed in a Query keeps pointers to memory that is gone, and an Execute of it can crash the server (seen on 15.18 and 18.4).
 */
const refusedText = "pgpier: statement refused, see the client's error";

export const refusedQuery: Buffer = serialize.query(refusedText);
export const refusedParse = (name: string): Buffer => writeParse(name, refusedText, []);
export const flush: Buffer = serialize.flush();
/** Only behind an error of the extended protocol, in the place of a Query of the client's: what it ends has failed already (ORDER-6). */
export const syncAfterError: Buffer = serialize.sync();
/** A Query that does nothing but end what a Query ends: the transaction of a pipeline, the unnamed statement and portal. */
export const endingQuery = 'reset pgpier.void';

/** What came back: the first row, or PostgreSQL's ErrorResponse as it was. `status` in the simple protocol alone. */
export type Answer =
  | { readonly kind: 'row'; readonly row: readonly (string | null)[]; readonly status?: TransactionStatus }
  | { readonly kind: 'error'; readonly message: Buffer; readonly status?: TransactionStatus };

/** A question under way; every reply to it is swallowed. */
export class Question {
  readonly answer: Promise<Answer>;
  readonly #protocol: 'simple' | 'extended';
  #resolve!: (answer: Answer) => void;
  #row: readonly (string | null)[] = [];
  #error: Buffer | undefined;
  #closes = 0;

  constructor(protocol: 'simple' | 'extended') {
    this.#protocol = protocol;
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  receive(type: number, message: Buffer): void {
    if (type === backend.dataRow) this.#row = readDataRow(message);
    else if (type === backend.errorResponse) this.#error = Buffer.from(message);
    else if (type === backend.closeComplete) this.#closes++;
    if (this.#protocol === 'simple' && type === backend.readyForQuery) this.#finish(readReadyForQuery(message));
    if (this.#protocol === 'extended' && (this.#error !== undefined || this.#closes === 2)) this.#finish(undefined);
  }

  #finish(status: TransactionStatus | undefined): void {
    const ready = status === undefined ? {} : { status };
    this.#resolve(
      this.#error === undefined ? { kind: 'row', row: this.#row, ...ready } : { kind: 'error', message: this.#error, ...ready },
    );
  }
}

/** The messages of a question with the ledger entry of each. Names carry a random tail, so that no client's name can meet them. */
export class Injection {
  readonly name = `pgpier!${randomBytes(6).toString('hex')}`;

  extended(text: string): readonly (readonly [Buffer, Sent | undefined])[] {
    const name = this.name;
    return [
      [writeParse(name, text, []), sent.parse],
      [serialize.bind({ portal: name, statement: name }), sent.bind],
      [serialize.execute({ portal: name, rows: 0 }), sent.execute],
      [serialize.close({ type: 'P', name }), sent.close],
      [serialize.close({ type: 'S', name }), sent.close],
      [flush, undefined],
    ];
  }

  simple(text: string): readonly (readonly [Buffer, Sent | undefined])[] {
    return [[serialize.query(text), sent.query]];
  }
}
