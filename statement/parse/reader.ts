/** Walks over one statement's tokens. Every parser of ours is made of these steps; a step that cannot be taken throws our 42601. */
import { PgPierError } from '../../errors.ts';
import { CharacterCounter } from '../characters.ts';
import type { Token } from '../lexer.ts';
import { isIdentifier, isString, isUnicodeEscapeCharacter, tokenValue } from '../literal.ts';
import type { EmbeddedQuery, StringOrParameter } from '../statement.ts';
import { reservedWords } from './reservedWords.ts';

/** What PostgreSQL allows in Bind (a 16-bit count). */
export const maxParameter = 65_535;

/** Echoed in errors wherever they stand: the words that our own grammar is made of. Everything else may be a piece of a secret. */
const grammarWords = new Set(
  `all as backup backups complete connection connections create csv database drop exists export external fallback for from grant grants if in into job
  jobs latest newer not of older on option options or parquet privileges public reason replace restore restrict revoke schemas select set show system table
  than time to usage values when with`.split(/\s+/),
);

export class TokenReader {
  readonly text: string;
  readonly tokens: readonly Token[];
  private readonly semicolon: number | undefined;
  private readonly characters: CharacterCounter;
  private index = 0;

  /** `tokens` are one statement's tokens, offsets counted in `text`, without the `;`, which stands at `semicolon`. */
  constructor(text: string, tokens: readonly Token[], semicolon?: number, characters = new CharacterCounter(text)) {
    this.text = text;
    this.tokens = tokens;
    this.semicolon = semicolon;
    this.characters = characters;
  }

  get atEnd(): boolean {
    return this.index >= this.tokens.length;
  }

  /** The folded bare word `ahead` tokens from here; '' if there is none or it is something else. */
  word(ahead = 0): string {
    const token = this.tokens[this.index + ahead];
    return token?.kind === 'word' ? tokenValue(this.text, token) : '';
  }

  token(ahead = 0): Token | undefined {
    return this.tokens[this.index + ahead];
  }

  /** The punctuation or operator `ahead` tokens from here; '' if there is none or it is something else. */
  symbol(ahead = 0): string {
    const token = this.tokens[this.index + ahead];
    return token?.kind === 'punctuation' || token?.kind === 'operator' ? this.text.slice(token.start, token.end) : '';
  }

  skip(count = 1): void {
    this.index += count;
  }

  /** Takes these words if all of them come next, else nothing. `words` are lower case, blanks between. */
  accept(words: string): boolean {
    const list = words.split(' ');
    if (!list.every((word, ahead) => this.word(ahead) === word)) return false;
    this.index += list.length;
    return true;
  }

  expect(words: string): void {
    for (const word of words.split(' ')) if (!this.accept(word)) this.fail();
  }

  acceptSymbol(symbol: string): boolean {
    if (this.symbol() !== symbol) return false;
    this.index++;
    return true;
  }

  expectSymbol(symbol: string): void {
    if (!this.acceptSymbol(symbol)) this.fail();
  }

  expectEnd(): void {
    if (!this.atEnd) this.fail();
  }

  /** Fails if the statement's last literal or comment never ends, wherever the reader stands. */
  expectTerminated(): void {
    const last = this.tokens.length - 1;
    if (this.tokens[last]?.kind === 'unterminated') this.failAt(last);
  }

  list<T>(item: () => T): T[] {
    const items = [item()];
    while (this.acceptSymbol(',')) items.push(item());
    return items;
  }

  /** 1-based position in characters of the next token. */
  get position(): number {
    return this.characters.at(this.token()?.start ?? this.text.length);
  }

  /** A bare or quoted identifier; what PostgreSQL reserves must be quoted. */
  identifier(): string {
    const token = this.token();
    if (!token || !isIdentifier(token)) this.fail();
    if (token.kind === 'word' && reservedWords.has(this.word())) this.fail();
    return this.value(token);
  }

  /** What may stand behind the dot of a name: any word, reserved or not, or a quoted identifier. */
  label(): string {
    return this.word() === '' ? this.identifier() : this.anyWord();
  }

  /** A bare word, reserved or not, folded. */
  anyWord(): string {
    const word = this.word();
    if (word === '') this.fail();
    this.skip();
    return word;
  }

  /** An identifier, or a string constant that says the same. */
  identifierOrString(): string {
    const token = this.token();
    return token && isString(token) ? this.value(token) : this.identifier();
  }

  /**
   * `'string' | identifier | $n`, also in parentheses and with casts behind: drivers that put values into the text write ('x') and
   * 'x'::varchar. `other` reads what a caller takes beyond that.
   */
  stringOrParameter(other: () => StringOrParameter | undefined = () => undefined): StringOrParameter {
    let depth = 0;
    while (this.acceptSymbol('(')) depth++;
    const result = other() ?? this.plainStringOrParameter();
    this.casts();
    for (; depth > 0; depth--) {
      this.expectSymbol(')');
      this.casts();
    }
    return result;
  }

  /** One such value, or several in parentheses with commas between. */
  stringOrParameterList(other?: () => StringOrParameter | undefined): StringOrParameter[] {
    if (!this.hasListInParentheses()) return [this.stringOrParameter(other)];
    this.expectSymbol('(');
    const list = this.list(() => this.stringOrParameter(other));
    this.expectSymbol(')');
    return list;
  }

  /** All that is left, for PostgreSQL to read. Fails if nothing is left or it does not begin as a query does. */
  embeddedQuery(): EmbeddedQuery {
    const first = this.token();
    if (!first || !(['select', 'with', 'values', 'table'].includes(this.word()) || this.symbol() === '(')) this.fail();
    this.index = this.tokens.length;
    return {
      text: this.text.slice(first.start, this.tokens.at(-1)!.end),
      offset: this.characters.at(first.start) - 1,
    };
  }

  /** The highest n of any $n in the statement. */
  parameterCount(): number {
    return this.tokens.reduce((highest, token, index) => {
      if (token.kind !== 'parameter') return highest;
      const number = Number(this.text.slice(token.start + 1, token.end));
      if (number > maxParameter) this.failAt(index);
      return Math.max(highest, number);
    }, 0);
  }

  /** Throws a syntax error at the next token, in PostgreSQL's words. */
  fail(): never {
    return this.failAt(this.index);
  }

  private failAt(index: number): never {
    const token = this.tokens[index];
    if (!token) {
      const position = this.characters.at(this.semicolon ?? this.text.length);
      if (this.semicolon === undefined) throw new PgPierError('syntaxErrorAtEnd', {}, { position });
      throw new PgPierError('syntaxError', { near: ';' }, { position });
    }
    const position = this.characters.at(token.start);
    if (token.kind === 'unterminated') throw new PgPierError('unterminatedLiteral', { what: unterminated(this.text, token) }, { position });
    throw new PgPierError('syntaxError', { near: this.near(index, token) }, { position });
  }

  /**
   * What may be shown of a token. Literals and quoted identifiers are never echoed. Once one of them, or the place of a value, has
   * gone by, nor is any word that is not of our grammar: in `AS 's3://…SECRET=a'b'` the word b is a piece of the secret. The
   * position tells the rest. The dots are ASCII because the message must fit into every client_encoding.
   */
  private near(index: number, token: Token): string {
    const text = this.text.slice(token.start, token.end);
    if (token.kind === 'quotedIdentifier' || token.kind === 'unicodeIdentifier') return '"..."';
    if (token.kind === 'punctuation' || token.kind === 'parameter' || grammarWords.has(text.toLowerCase())) return text;
    if (token.kind !== 'word' && token.kind !== 'number' && text.length > 1) return "'...'";
    return this.tokens.slice(0, index).some((earlier) => this.mayHoldSecret(earlier)) ? '...' : text;
  }

  private mayHoldSecret(token: Token): boolean {
    const isWord = token.kind === 'word';
    if (!isWord) return token.kind !== 'punctuation' && token.kind !== 'parameter';
    const word = tokenValue(this.text, token);
    return ['as', 'csv', 'fallback', 'in', 'parquet', 'with'].includes(word) || (word === 'into' && !this.isExport);
  }

  /** EXPORT alone has a word of the grammar behind INTO, not a URI. */
  private get isExport(): boolean {
    const first = this.tokens[0];
    return first?.kind === 'word' && tokenValue(this.text, first) === 'export';
  }

  private plainStringOrParameter(): StringOrParameter {
    const token = this.token();
    if (token?.kind !== 'parameter') return { kind: 'string', value: this.identifierOrString() };
    const number = Number(this.text.slice(token.start + 1, token.end));
    if (number === 0 || number > maxParameter) this.fail();
    this.skip();
    return { kind: 'parameter', number };
  }

  private value(token: Token): string {
    let escapeCharacter = '\\';
    let taken = 1;
    if ((token.kind === 'unicodeString' || token.kind === 'unicodeIdentifier') && this.word(1) === 'uescape') {
      const character = this.token(2);
      escapeCharacter = character?.kind === 'string' ? tokenValue(this.text, character) : '';
      if (!isUnicodeEscapeCharacter(escapeCharacter)) this.failAt(this.index + 2);
      taken = 3;
    }
    const value = tokenValue(this.text, token, escapeCharacter);
    if (value === '' && isIdentifier(token)) this.fail();
    this.index += taken;
    return value;
  }

  /** Whether a `(` comes next whose `)` closes behind a comma. */
  private hasListInParentheses(): boolean {
    let depth = 0;
    for (let ahead = 0; this.token(ahead) !== undefined; ahead++) {
      const symbol = this.symbol(ahead);
      if (symbol === '(') depth++;
      else if (symbol === ')') depth--;
      else if (symbol === ',' && depth === 1) return true;
      if (depth === 0) return false;
    }
    return false;
  }

  /** `::type`, as often as it comes: ignored, since what we read is text either way. */
  private casts(): void {
    while (this.acceptSymbol('::')) {
      this.identifier();
      while (this.acceptSymbol('.')) this.identifier();
      this.accept('varying');
      if (this.acceptSymbol('(')) {
        if (this.token()?.kind !== 'number') this.fail();
        this.skip();
        this.expectSymbol(')');
      }
    }
  }
}

function unterminated(text: string, token: Token): string {
  const opening = text.slice(token.start, token.start + 3);
  if (opening.startsWith('/*')) return '/* comment';
  if (opening.startsWith('"') || opening.endsWith('"')) return 'quoted identifier';
  if (opening.startsWith('$')) return 'dollar-quoted string';
  return /^[bBxX]'/.test(opening) ? 'bit string literal' : 'quoted string';
}
