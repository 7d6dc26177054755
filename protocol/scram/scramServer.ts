/**
 * The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, as PostgreSQL's auth-scram.c reads it: the same messages are refused, with the same words.
 * Pure. Salt and iteration count are given from outside and only sent; nothing is ever computed with them.
 */
import { timingSafeEqual } from 'node:crypto';
import { exclusiveOr, hmac, type ScramMechanism, scramSha256Plus, storedKeyOf } from './mechanism.ts';
import type { ScramVerifier } from './verifier.ts';

/** What is wrong with a client's message; the names are those of errors.ts. */
export type ScramFault =
  | 'scramMalformed'
  | 'scramBindingType'
  | 'scramBindingNegotiation'
  | 'scramBindingCheck'
  | 'scramBindingAttribute'
  | 'scramAuthorizationIdentity'
  | 'scramExtension'
  | 'scramNonceCharacters'
  | 'scramResponse';

export class ScramFaultError extends Error {
  readonly fault: ScramFault;
  readonly detail: string | undefined;
  /** Of `scramBindingType`: what the client asked for, printable. */
  readonly bindingType: string;

  constructor(fault: ScramFault, detail?: string, bindingType = '') {
    super(fault);
    this.fault = fault;
    this.detail = detail;
    this.bindingType = bindingType;
  }
}

export interface ScramServerOptions {
  readonly mechanism: ScramMechanism;
  /** tls-server-end-point data of the certificate that the client was shown; undefined where PLUS was not offered. */
  readonly channelBinding: Uint8Array | undefined;
  /** Our part of the nonce: printable ASCII without a comma. */
  readonly nonce: string;
}

export class ScramServer {
  readonly #binding: Uint8Array | undefined;
  readonly #plus: boolean;
  readonly #ownNonce: string;
  #header = '';
  #firstBare = '';
  #nonce = '';
  #serverFirst = '';
  #authMessage = '';

  constructor({ mechanism, channelBinding, nonce }: ScramServerOptions) {
    this.#binding = channelBinding;
    this.#plus = mechanism === scramSha256Plus;
    this.#ownNonce = nonce;
  }

  /** Throws ScramFaultError. */
  clientFirst(message: Uint8Array): void {
    const text = whole(message);
    const at = this.#readHeader(text);
    this.#firstBare = text.slice(at);
    const reader = new AttributeReader(text, at);
    if (reader.next === 'm') throw new ScramFaultError('scramExtension');
    // The name is the startup packet's, as in PostgreSQL.
    reader.value('n');
    const nonce = reader.value('r');
    if (!/^[\x21-\x2b\x2d-\x7e]*$/.test(nonce)) throw new ScramFaultError('scramNonceCharacters');
    while (reader.next !== '') reader.any();
    this.#nonce = nonce + this.#ownNonce;
  }

  /** Where the rest begins. `y` and `n` without PLUS, `p` with it alone. */
  #readHeader(text: string): number {
    const flag = text[0]!;
    let at = 1;
    if (flag === 'n' || flag === 'y') {
      if (this.#plus) {
        throw malformed('The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.');
      }
      if (text[at] !== ',') throw malformed(`Comma expected, but found character "${printable(text[at])}".`);
      at++;
      if (flag === 'y' && this.#binding) {
        const detail =
          'The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding.';
        throw new ScramFaultError('scramBindingNegotiation', detail);
      }
    } else if (flag === 'p') {
      if (!this.#plus) {
        throw malformed('The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.');
      }
      const reader = new AttributeReader(text, 0);
      const type = reader.value('p');
      if (type !== 'tls-server-end-point') {
        throw new ScramFaultError('scramBindingType', undefined, type.slice(0, 30).replace(/[^\x21-\x7e]/g, '?'));
      }
      at = reader.at;
    } else throw malformed(`Unexpected channel-binding flag "${printable(flag)}".`);
    if (text[at] === 'a') throw new ScramFaultError('scramAuthorizationIdentity');
    if (text[at] !== ',') throw malformed(`Unexpected attribute "${printable(text[at])}" in client-first-message.`);
    this.#header = text.slice(0, at + 1);
    return at + 1;
  }

  serverFirst(salt: Uint8Array, iterations: number): Buffer {
    this.#serverFirst = `r=${this.#nonce},s=${Buffer.from(salt).toString('base64')},i=${iterations}`;
    return Buffer.from(this.#serverFirst, 'latin1');
  }

  /**
   * The client's last message against a verifier: the ClientKey it proves to have, which is as good as the password; undefined where the proof is wrong.
   * `verifier` undefined (no such role, no password) takes the same steps. Throws ScramFaultError.
   */
  clientFinal(message: Uint8Array, verifier: ScramVerifier | undefined): Buffer | undefined {
    const text = whole(message);
    const reader = new AttributeReader(text, 0);
    const binding = reader.value('c');
    const expected = Buffer.concat([Buffer.from(this.#header, 'latin1'), this.#plus ? this.#binding! : Buffer.alloc(0)]).toString('base64');
    if (binding !== expected) throw new ScramFaultError(this.#plus ? 'scramBindingCheck' : 'scramBindingAttribute');
    const nonce = reader.value('r');
    let attribute: { readonly name: string; readonly value: string; readonly begin: number };
    do attribute = reader.any();
    while (attribute.name !== 'p');
    const proof = Buffer.from(attribute.value, 'base64');
    if (!/^[A-Za-z0-9+/]{43}=$/.test(attribute.value)) throw malformed('Malformed proof in client-final-message.');
    if (reader.next !== '') throw malformed('Garbage found at the end of client-final-message.');
    if (nonce !== this.#nonce) throw new ScramFaultError('scramResponse', 'Nonce does not match.');
    this.#authMessage = `${this.#firstBare},${this.#serverFirst},${text.slice(0, attribute.begin - 1)}`;
    const storedKey = verifier?.storedKey ?? Buffer.alloc(32);
    const clientKey = exclusiveOr(proof, hmac(storedKey, this.#authMessage));
    const right = timingSafeEqual(storedKeyOf(clientKey), storedKey);
    return right && verifier ? clientKey : undefined;
  }

  /** After `clientFinal`. */
  serverFinal({ serverKey }: ScramVerifier): Buffer {
    return Buffer.from(`v=${hmac(serverKey, this.#authMessage).toString('base64')}`);
  }
}

/** `a=value,…`, a letter each; values hold no comma. */
class AttributeReader {
  readonly #text: string;
  at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  /** Empty at the end. */
  get next(): string {
    return this.#text[this.at] ?? '';
  }

  value(name: string): string {
    if (this.next !== name) throw malformed(`Expected attribute "${name}" but found "${printable(this.next)}".`);
    return this.#rest(name);
  }

  any(): { name: string; value: string; begin: number } {
    const begin = this.at;
    const name = this.next;
    if (name === '') throw malformed('Attribute expected, but found end of string.');
    if (!/^[A-Za-z]$/.test(name)) throw malformed(`Attribute expected, but found invalid character "${printable(name)}".`);
    return { name, value: this.#rest(name), begin };
  }

  #rest(name: string): string {
    if (this.#text[this.at + 1] !== '=') throw malformed(`Expected character "=" for attribute "${name}".`);
    const begin = this.at + 2;
    const comma = this.#text.indexOf(',', begin);
    const end = comma < 0 ? this.#text.length : comma;
    this.at = comma < 0 ? end : end + 1;
    return this.#text.slice(begin, end);
  }
}

function whole(message: Uint8Array): string {
  if (message.length === 0) throw malformed('The message is empty.');
  if (message.includes(0)) throw malformed('Message length does not match input length.');
  return Buffer.from(message).toString('latin1');
}

function malformed(detail: string): ScramFaultError {
  return new ScramFaultError('scramMalformed', detail);
}

/** As auth-scram.c's sanitize_char; the end of the text is its NUL. */
function printable(character: string | undefined): string {
  if (character === undefined || character === '') return '0x00';
  return /^[\x21-\x7e]$/.test(character) ? `'${character}'` : `0x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
