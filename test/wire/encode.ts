/**
 * Frontend messages from one readable line: a letter and its fields, each a JSON value or a bare word.
 *
 *     Q "select 1"                      P name "text" [25,0]           B portal name ["a",null,{"hex":"00"}] [0,1] [1]
 *     D S name      C P portal          E portal 0     H   S   X       d "copy\n"   c   f "reason"
 *     F 1598 [] 0                       raw "51 00 00 00 03"           pad Q 2097152   (a query of that many bytes)
 *
 * Deliberately independent of the product's own protocol/ folder, so that both cannot be wrong in the same way.
 * Source: PostgreSQL documentation, "Message Formats".
 */

/** @throws Error on a line that is not a message. */
export function encodeLine(line: string): Buffer {
  const [word, ...fields] = fieldsOf(line);
  switch (word) {
    case 'Q':
      return frame('Q', cstring(fields[0]));
    case 'P': {
      const oids = (fields[2] ?? []) as number[];
      return frame('P', cstring(fields[0]), cstring(fields[1]), int16(oids.length), ...oids.map(int32));
    }
    case 'B':
      return bind(fields);
    case 'D':
    case 'C':
      return frame(word, Buffer.from(String(fields[0])), cstring(fields[1] ?? ''));
    case 'E':
      return frame('E', cstring(fields[0] ?? ''), int32(Number(fields[1] ?? 0)));
    case 'H':
    case 'S':
    case 'X':
    case 'c':
      return frame(word);
    case 'd':
      return frame('d', Buffer.from(String(fields[0])));
    case 'f':
      return frame('f', cstring(fields[0]));
    case 'F': {
      const values = (fields[1] ?? []) as (string | null)[];
      return frame('F', int32(Number(fields[0])), int16(0), int16(values.length), ...values.map(value), int16(Number(fields[2] ?? 0)));
    }
    case 'raw':
      return Buffer.from(String(fields[0]).replaceAll(' ', ''), 'hex');
    case 'pad': {
      const size = Number(fields[1]);
      const text = `select 1 as padded /* ${'x'.repeat(size - 30)} */`;
      return fields[0] === 'P' ? frame('P', cstring(''), cstring(text), int16(0)) : frame('Q', cstring(text));
    }
    default:
      throw new Error(`not a message: ${line}`);
  }
}

function bind([portal, name, values = [], formats = [], results = []]: unknown[]): Buffer {
  const list = values as (string | null | { hex: string })[];
  const codes = (codes: unknown) => [int16((codes as number[]).length), ...(codes as number[]).map(int16)];
  return frame(
    'B',
    cstring(portal ?? ''),
    cstring(name ?? ''),
    ...codes(formats),
    int16(list.length),
    ...list.map(value),
    ...codes(results),
  );
}

/** The first packet of a session: no type letter. Version as major, minor; a `user` is required. */
export function startupPacket(parameters: Readonly<Record<string, string>>, version = 0x30000): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, text]) => [cstring(name), cstring(text)]);
  const body = Buffer.concat([int32(version), ...pairs, Buffer.from([0])]);
  return Buffer.concat([int32(body.length + 4), body]);
}

export function cancelPacket(pid: number, key: Buffer): Buffer {
  return Buffer.concat([int32(12 + key.length), int32(80877102), int32(pid), key]);
}

function frame(letter: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(letter, 'latin1'), int32(body.length + 4), body]);
}

function value(item: string | null | { hex: string }): Buffer {
  if (item === null) return int32(-1);
  const bytes = typeof item === 'object' ? Buffer.from(item.hex, 'hex') : Buffer.from(item);
  return Buffer.concat([int32(bytes.length), bytes]);
}

const cstring = (text: unknown): Buffer => Buffer.from(`${text ?? ''}\0`);

const int16 = (n: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(n);
  return bytes;
};

const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(n | 0);
  return bytes;
};

/** Splits at blanks outside JSON strings, arrays and objects. */
function fieldsOf(line: string): unknown[] {
  const fields: unknown[] = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === ' ') {
      at++;
      continue;
    }
    const from = at;
    let depth = 0;
    let quoted = false;
    for (; at < line.length; at++) {
      const c = line[at];
      if (quoted) {
        if (c === '\\') at++;
        else if (c === '"') quoted = false;
      } else if (c === '"') quoted = true;
      else if (c === '[' || c === '{') depth++;
      else if (c === ']' || c === '}') depth--;
      else if (c === ' ' && depth === 0) break;
    }
    const text = line.slice(from, at);
    fields.push(/^["[{]|^-?\d+$/.test(text) ? JSON.parse(text) : text);
  }
  return fields;
}
