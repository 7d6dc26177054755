/** Statements of either dialect that PgPier knows by name alone. PostgreSQL would answer them with a syntax error, which says less. */
import { PgPierError } from '../errors.ts';
import type { StatementKind } from '../statement/statement.ts';
import type { Command } from './command.ts';

export const notYet: Command<'notYet'> = {
  kind: 'notYet',
  statement: 'statements that are not supported yet',
  columns: null,
  privilege: 'none',
  nature: 'read',
  async run(_context, { what }) {
    throw new PgPierError('notSupported', { what });
  },
};

/** The place of a handler that is still to be written: the statement is read, and answered 0A000 by its name. */
export function commandToCome<K extends StatementKind>(kind: K, statement: string): Command<K> {
  return {
    kind,
    statement,
    columns: null,
    privilege: 'none',
    nature: 'read',
    async run() {
      throw new PgPierError('notSupported', { what: statement });
    },
  };
}
