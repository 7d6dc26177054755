/**
 * What the backend gets in place of a statement of ours (own statements §1): PostgreSQL then does names, portals, Describe, formats and 25P02 for us,
 * and never sees the text or a value.
 */
import type { CommandContext } from '../../commands/command.ts';
import { PgPierError } from '../../errors.ts';
import { formatOf } from '../../protocol/backend/rowDescription.ts';
import type { Bind } from '../../protocol/frontend/bind.ts';
import { type Column, decodeParameter } from '../../protocol/values.ts';
import type { Prepared } from './ownNames.ts';

const textOid = 25;

/** An empty select with the statement's columns; without columns a utility statement that needs no right and leaves no trace. */
export function shadowText(columns: readonly Column[] | null): string {
  if (columns === null) return 'reset pgpier.void';
  return `select ${columns.map(({ name, type }) => `null::pg_catalog.${type} as "${name}"`).join(', ')} where false`;
}

/** The command tags with which a finished shadow says that nothing earlier failed: our permission to begin. */
export function isPermission(tag: string): boolean {
  return tag === 'SELECT 0' || tag === 'RESET';
}

/** A type for every parameter: the client's where it declared one, else text. Parameters need not occur in the shadow; an OID left 0 would be 42P18. */
export function shadowOids(declared: readonly number[], parameterCount: number): number[] {
  return Array.from({ length: Math.max(parameterCount, declared.length) }, (_, index) => declared[index] || textOid);
}

/** The bound values as text. Errors: 0A000 for a binary value of a type that cannot be read here, 22P03 for one that is malformed. */
export function boundParameters(prepared: Prepared, bind: Bind | 'tooLarge'): CommandContext['parameters'] {
  if (bind === 'tooLarge') throw new PgPierError('parametersTooLarge');
  return bind.values.map((bytes, index) => {
    const typeOid = prepared.declaredOids[index] ?? 0;
    if (bytes === null) return { value: null, typeOid };
    const format = formatOf(bind.parameterFormats, index);
    let value: string | null;
    try {
      value = decodeParameter(bytes, prepared.typeOids[index] ?? textOid, format);
    } catch {
      throw new PgPierError('malformedParameter', { number: index + 1 });
    }
    if (value === null) throw new PgPierError('unreadableParameter', { number: index + 1 });
    return { value, typeOid };
  });
}
