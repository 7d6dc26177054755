/** Lists of roles and privileges, shared by GRANT, REVOKE and SHOW GRANTS. */
import { clipName } from '../characters.ts';
import { isIdentifier } from '../literal.ts';
import type { PrivilegeList, RoleSpecification } from '../statement.ts';
import type { TokenReader } from './reader.ts';
import { reservedWords } from './reservedWords.ts';

function role(reader: TokenReader): RoleSpecification {
  // Databend says what it names: TO ROLE bob. A role may be named so as well.
  if (['role', 'user'].includes(reader.word()) && isRoleName(reader, 1)) reader.skip();
  if (reader.accept('current_user') || reader.accept('current_role')) return { kind: 'currentUser' };
  if (reader.accept('session_user')) return { kind: 'sessionUser' };
  const name = clipName(reader.identifier());
  // As in PostgreSQL, "public" in quotes is PUBLIC too.
  return name === 'public' ? { kind: 'public' } : { kind: 'role', name };
}

/** `WITH GRANT OPTION` is no role: PostgreSQL reserves the word. */
function isRoleName(reader: TokenReader, ahead: number): boolean {
  const token = reader.token(ahead);
  return token !== undefined && isIdentifier(token) && !reservedWords.has(reader.word(ahead));
}

export function roles(reader: TokenReader): RoleSpecification[] {
  return reader.list(() => role(reader));
}

/** `ALL [PRIVILEGES] | word {, word}`. Which words exist is for the commands to say. */
export function privileges(reader: TokenReader): PrivilegeList {
  if (reader.accept('all')) {
    reader.accept('privileges');
    return 'all';
  }
  return reader.list(() => {
    if (['on', 'to', 'from'].includes(reader.word())) reader.fail();
    // Databend's word for the same right.
    if (reader.accept('access connection')) return 'USAGE';
    return reader.anyWord().toUpperCase();
  });
}

/** `[FOR role {, role}]` up to the end of the statement. */
export function optionalFor(reader: TokenReader): { grantees?: RoleSpecification[] } {
  const clause = reader.accept('for') ? { grantees: roles(reader) } : {};
  reader.expectEnd();
  return clause;
}
