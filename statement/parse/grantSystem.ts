import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';
import { privileges, roles } from './roles.ts';

/**
 * `GRANT system TO bob`, `GRANT system, x TO bob` and `GRANT system (a) ON t TO bob` are PostgreSQL's: a role or a privilege of that
 * name. A second word makes it ours.
 */
export function isGrantSystem(reader: TokenReader): boolean {
  return reader.word(1) === 'system' && !['', 'to', 'on'].includes(reader.word(2));
}

/** `GRANT SYSTEM {ALL [PRIVILEGES] | privilege {, …}} TO role {, …} [WITH GRANT OPTION]` */
export function grantSystem(reader: TokenReader): StatementOf<'grantSystem'> {
  reader.expect('grant system');
  const list = privileges(reader);
  reader.expect('to');
  const grantees = roles(reader);
  const withGrantOption = reader.accept('with grant option');
  reader.expectEnd();
  return { kind: 'grantSystem', privileges: list, grantees, withGrantOption };
}
