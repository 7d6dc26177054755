/** What is wrong with a text that should be base64, in the words of Go's encoding/base64, which users of CockroachDB know. Pure. */

/** `illegal base64 data at input byte N`, where N is a byte's number from 0; undefined for standard base64 with its padding. Line breaks are skipped, as in Go. */
export function base64Error(text: string): string | undefined {
  const bytes = Buffer.from(text);
  const at = (offset: number) => `illegal base64 data at input byte ${offset}`;
  let digits = 0;
  let offset = 0;
  const skipBreaks = () => {
    while (bytes[offset] === 0x0a || bytes[offset] === 0x0d) offset += 1;
  };
  for (skipBreaks(); offset < bytes.length; skipBreaks()) {
    const digit = String.fromCharCode(bytes[offset]!);
    if (digit === '=') {
      if (digits % 4 < 2) return at(offset);
      offset += 1;
      if (digits % 4 === 2) {
        skipBreaks();
        if (offset === bytes.length) return at(bytes.length);
        if (bytes[offset] !== 0x3d) return at(offset - 1);
        offset += 1;
      }
      skipBreaks();
      return offset === bytes.length ? undefined : at(offset);
    }
    if (!/[A-Za-z0-9+/]/.test(digit)) return at(offset);
    digits += 1;
    offset += 1;
  }
  return digits % 4 === 0 ? undefined : at(bytes.length - (digits % 4));
}
