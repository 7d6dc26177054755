/** Sizes in words, as CockroachDB reads and writes them: kB is 1000, KiB 1024 bytes. Pure. */

const units: Readonly<Record<string, number>> = { '': 1, k: 1000, m: 1000 ** 2, g: 1000 ** 3, t: 1000 ** 4 };
const binaryUnits: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** `32MB`, `1 GiB`, `1.5m`, `4096`: whole bytes, at least 1; undefined for anything else. */
export function readByteSize(value: string): number | undefined {
  const [, number = '', prefix = '', binary = ''] = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?\s*$/i.exec(value) ?? [];
  const unit = (binary === '' ? units : binaryUnits)[prefix.toLowerCase()];
  const bytes = number === '' || unit === undefined ? Number.NaN : Math.floor(Number(number) * unit);
  return bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined;
}

/** `32 MiB`, `66.17 MiB`: at most two decimals. */
export function byteSizeInWords(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (unit < names.length - 1 && bytes / 1024 ** unit >= 1024) unit++;
  return `${Number((bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 2))} ${names[unit]}`;
}
