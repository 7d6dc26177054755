/**
 * Backend messages as one readable line each, normalised: what differs between two sessions that behave alike (process
 * ids, cancel keys, OIDs of user objects) is replaced by its name. Source: PostgreSQL documentation, "Message Formats".
 */

export interface Message {
  readonly letter: string;
  readonly body: Buffer;
}

/** Cuts whole messages off the front of `buffer`. */
export function splitMessages(buffer: Buffer): { messages: Message[]; rest: Buffer } {
  const messages: Message[] = [];
  let at = 0;
  while (buffer.length - at >= 5) {
    const length = buffer.readInt32BE(at + 1);
    if (length < 4) throw new Error(`message ${JSON.stringify(String.fromCharCode(buffer[at]!))} of length ${length}`);
    if (buffer.length - at < length + 1) break;
    messages.push({ letter: String.fromCharCode(buffer[at]!), body: buffer.subarray(at + 5, at + 1 + length) });
    at += length + 1;
  }
  return { messages, rest: buffer.subarray(at) };
}

export function decode({ letter, body }: Message): string {
  const read = new Reader(body);
  switch (letter) {
    case 'R':
      return `R ${read.int32()}`;
    case 'S':
      return `S ${read.cstring()}=${read.cstring()}`;
    case 'K':
      return `K ${body.length - 4}`;
    case 'Z':
      return `Z ${read.letter()}`;
    case 'T':
      return `T ${list(read.int16(), () => column(read))}`;
    case 't':
      return `t ${list(read.int16(), () => String(oid(read.int32())))}`;
    case 'D':
      return `D ${list(read.int16(), () => field(read.value()))}`;
    case 'C':
      return `C ${read.cstring()}`;
    case 'E':
    case 'N':
      return `${letter} ${report(read)}`;
    case 'A': {
      read.int32();
      return `A pid ${read.cstring()} ${JSON.stringify(read.cstring())}`;
    }
    case 'G':
    case 'H':
    case 'W':
      return `${letter} ${body[0]} ${list(body.readInt16BE(1), (i) => String(body.readInt16BE(3 + 2 * i)))}`;
    case 'd':
      return `d ${text(body)}`;
    case 'V':
      return `V ${field(read.value())}`;
    case '1':
    case '2':
    case '3':
    case 'n':
    case 's':
    case 'I':
    case 'c':
      return body.length === 0 ? letter : `${letter} with ${body.length} bytes too many`;
    default:
      return `${letter} ${body.toString('hex')}`;
  }
}

/** `ERROR 42601 "message"`, then the other fields by letter. */
function report(read: Reader): string {
  const fields = new Map<string, string>();
  for (let letter = read.letter(); letter !== '\0'; letter = read.letter()) fields.set(letter, read.cstring());
  const rest = [...fields].filter(([letter]) => !'SVCM'.includes(letter)).map(([letter, value]) => ` ${letter}=${JSON.stringify(value)}`);
  // 18 and 15 both send V beside S; a reply without it would be a 9.5 server's.
  const severity = fields.get('V') === fields.get('S') ? fields.get('S') : `${fields.get('S')}/${fields.get('V')}`;
  return `${severity} ${fields.get('C')} ${JSON.stringify(fields.get('M'))}${rest.join('')}`;
}

function column(read: Reader): string {
  const name = read.cstring();
  const table = oid(read.int32());
  const number = read.int16();
  const type = oid(read.int32());
  const size = read.int16();
  const modifier = read.int32();
  const format = read.int16();
  const origin = table === 0 && number === 0 ? '' : ` of ${table}.${number}`;
  return `${name}:${type}${format ? ' binary' : ''}${origin}${modifier === -1 ? '' : ` mod ${modifier}`} size ${size}`;
}

const list = (count: number, item: (i: number) => string): string => `(${Array.from({ length: count }, (_, i) => item(i)).join(', ')})`;

/** Objects made by a script get other OIDs every time. */
const oid = (number: number): number | string => (number >>> 0 >= 16384 ? 'oid' : number);

const field = (value: Buffer | null): string => (value === null ? 'null' : text(value));

/** Text as a JSON string, long ones shortened to head and digest-like sum; bytes that are not UTF-8 in hex. */
function text(bytes: Buffer): string {
  if (bytes.length > 200) {
    let sum = 0;
    for (const byte of bytes) sum = (sum * 31 + byte) >>> 0;
    return `${JSON.stringify(bytes.subarray(0, 20).toString('latin1'))}… ${bytes.length} bytes, sum ${sum}`;
  }
  const string = bytes.toString('utf8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a value with control characters is a binary one
  return /[\0-\x08\x0e-\x1f\ufffd]/.test(string) ? `x'${bytes.toString('hex')}'` : JSON.stringify(string);
}

class Reader {
  private at = 0;
  private readonly body: Buffer;
  constructor(body: Buffer) {
    this.body = body;
  }
  letter(): string {
    return String.fromCharCode(this.body[this.at++]!);
  }
  int16(): number {
    this.at += 2;
    return this.body.readInt16BE(this.at - 2);
  }
  int32(): number {
    this.at += 4;
    return this.body.readInt32BE(this.at - 4);
  }
  cstring(): string {
    const end = this.body.indexOf(0, this.at);
    const text = this.body.toString('utf8', this.at, end);
    this.at = end + 1;
    return text;
  }
  value(): Buffer | null {
    const length = this.int32();
    if (length < 0) return null;
    this.at += length;
    return this.body.subarray(this.at - length, this.at);
  }
}
