/** Statements of either dialect that PgPier knows by name alone. PostgreSQL would answer them with a syntax error, which says less. */
import { PgPierError } from '../errors.ts';
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
