/** Names as SQL text: quoted only where SQL would read them as something else. */
import { reservedWords } from './parse/reservedWords.ts';
import type { TablePattern } from './statement.ts';

export function identifierText(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) && !reservedWords.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** Also as a manifest keeps it. */
export function patternText({ names, all }: TablePattern): string {
  return [...names.map(identifierText), ...(all ? ['*'] : [])].join('.');
}
