/** Checks JSON of a stranger against the shape that is expected: the answer holds the named fields and nothing else. */

export class BadShape extends Error {}

/** `at` tells where in the document a value stands, `databases[0].name`; no error repeats a value. */
export type Read<T> = (value: unknown, at: string) => T;

type Fields<T> = { readonly [K in keyof T]-?: Read<T[K]> };

export function object<T extends object>(fields: Fields<T>): Read<T> {
  const entries = Object.entries(fields) as [string, Read<unknown>][];
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(at, 'must be an object');
    const found: Record<string, unknown> = {};
    for (const [name, read] of entries) {
      const field = read(
        Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined,
        at === '' ? name : `${at}.${name}`,
      );
      if (field !== undefined) found[name] = field;
    }
    return found as T;
  };
}

export function list<T>(item: Read<T>, { atLeast = 0 } = {}): Read<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw bad(at, 'must be a list');
    if (value.length < atLeast) throw bad(at, 'must not be empty');
    return value.map((each, index) => item(each, `${at}[${index}]`));
  };
}

/** The field may be left out. `null` is a value, and none that is expected. */
export function optional<T>(read: Read<T>): Read<T | undefined> {
  return (value, at) => (value === undefined ? undefined : read(value, at));
}

/** Without U+0000, which PostgreSQL cannot hold, and without half characters. */
export const text: Read<string> = (value, at) => {
  if (typeof value !== 'string') throw bad(at, 'must be a string');
  if (value.includes('\0') || !value.isWellFormed()) throw bad(at, 'holds characters that cannot be');
  return value;
};

export const name: Read<string> = (value, at) => {
  if (text(value, at) === '') throw bad(at, 'must not be empty');
  return value as string;
};

export function matching(pattern: RegExp, what: string): Read<string> {
  return (value, at) => {
    if (!pattern.test(text(value, at))) throw bad(at, `must be ${what}`);
    return value as string;
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Read<T> {
  return (value, at) => {
    if (!words.includes(value as T)) throw bad(at, `must be one of ${words.join(', ')}`);
    return value as T;
  };
}

/** A whole number that a JavaScript number holds exactly. */
export function wholeNumber(atLeast: number): Read<number> {
  return (value, at) => {
    if (!Number.isSafeInteger(value) || (value as number) < atLeast) throw bad(at, `must be a whole number, ${atLeast} or more`);
    return value as number;
  };
}

export const boolean: Read<boolean> = (value, at) => {
  if (typeof value !== 'boolean') throw bad(at, 'must be true or false');
  return value;
};

export const bad = (at: string, reason: string): BadShape => new BadShape(at === '' ? `it ${reason}` : `${at} ${reason}`);
