/** Lists of roles and privileges, shared by GRANT, REVOKE and SHOW GRANTS. */
import type { PrivilegeList, RoleSpecification } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** NAMEDATALEN - 1: PostgreSQL cuts every role name to so many bytes, both where it is made and where it is used. */
const maxNameBytes = 63;

function clip(name: string): string {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length <= maxNameBytes) return name;
  let end = maxNameBytes;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}

function role(reader: TokenReader): RoleSpecification {
  if (reader.accept('current_user') || reader.accept('current_role')) return { kind: 'currentUser' };
  if (reader.accept('session_user')) return { kind: 'sessionUser' };
  const name = clip(reader.identifier());
  // As in PostgreSQL, "public" in quotes is PUBLIC too.
  return name === 'public' ? { kind: 'public' } : { kind: 'role', name };
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
    return reader.anyWord().toUpperCase();
  });
}

/** `[FOR role {, role}]` up to the end of the statement. */
export function optionalFor(reader: TokenReader): { grantees?: RoleSpecification[] } {
  const clause = reader.accept('for') ? { grantees: roles(reader) } : {};
  reader.expectEnd();
  return clause;
}
