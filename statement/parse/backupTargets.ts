/** What BACKUP and RESTORE have in common: their targets, the collection, and which backup in it. */
import { clipName } from '../characters.ts';
import type { BackupReference, BackupTargets, StringOrParameter, TablePattern } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `* | name[.name[.name]] | name[.name].*` */
function tablePattern(reader: TokenReader): TablePattern {
  if (reader.acceptSymbol('*')) return { names: [], all: true };
  const names = [clipName(reader.identifier())];
  while (reader.symbol() === '.') {
    if (names.length === 3) reader.fail();
    reader.skip();
    if (names.length < 3 && reader.acceptSymbol('*')) return { names, all: true };
    names.push(clipName(reader.label()));
  }
  return { names, all: false };
}

/** `DATABASE name {, …} | [TABLE] pattern {, …}` */
export function backupTargets(reader: TokenReader): BackupTargets {
  if (reader.accept('database')) return { kind: 'database', databases: reader.list(() => clipName(reader.identifier())) };
  reader.accept('table');
  return { kind: 'table', patterns: reader.list(() => tablePattern(reader)) };
}

/**
 * A collection's URI. Several in parentheses, one for each locality, are read and are `severalLocations`.
 */
export function collection(reader: TokenReader): { readonly uri: StringOrParameter; readonly severalLocations: boolean } {
  const list = reader.stringOrParameterList();
  return { uri: list[0]!, severalLocations: list.length > 1 };
}

/** `LATEST | 'subdirectory'`; a bare word is LATEST alone. */
export function backupReference(reader: TokenReader): BackupReference {
  if (reader.accept('latest')) return { kind: 'latest' };
  if (reader.word() !== '') reader.fail();
  return { kind: 'subdirectory', path: reader.stringOrParameter() };
}

/** `[AS OF SYSTEM TIME expression]`, where the expression is a value or the call of a function without arguments. */
export function acceptAsOfSystemTime(reader: TokenReader): boolean {
  if (!reader.accept('as')) return false;
  reader.expect('of system time');
  reader.stringOrParameter(() => {
    const sign = reader.symbol() === '-' || reader.symbol() === '+' ? 1 : 0;
    if (reader.token(sign)?.kind !== 'number') return undefined;
    reader.skip(sign + 1);
    return { kind: 'string', value: '' };
  });
  if (reader.acceptSymbol('(')) reader.expectSymbol(')');
  return true;
}
