/** An object's access control list as the GRANT statements that would make it, as CockroachDB prints privileges. */
import { identifierText } from '../../statement/names.ts';
import { readAclItem } from './aclItem.ts';
import type { BackedUpObject } from './manifest.ts';

/** PostgreSQL's letters (acl.h), in the order of its documentation. */
const letters: Readonly<Record<string, string>> = {
  r: 'SELECT',
  a: 'INSERT',
  w: 'UPDATE',
  d: 'DELETE',
  D: 'TRUNCATE',
  x: 'REFERENCES',
  t: 'TRIGGER',
  m: 'MAINTAIN',
  C: 'CREATE',
  c: 'CONNECT',
  T: 'TEMPORARY',
  X: 'EXECUTE',
  U: 'USAGE',
};

type Named = Pick<BackedUpObject, 'schema' | 'name' | 'type'>;

/**
 * `GRANT SELECT, INSERT ON TABLE public.rides TO bob; GRANT …`, in the list's order. An item that is no aclitem stands as it is: the list comes from a
 * stranger's file, and is shown, not run.
 */
export function grantStatements(object: Named, privileges: readonly string[]): string {
  return privileges.flatMap((item) => statements(item, objectText(object))).join(' ');
}

function objectText({ schema, name, type }: Named): string {
  // A function's name carries its arguments.
  const own = type === 'function' ? name : identifierText(name);
  return `${type.toUpperCase()} ${schema === '' ? own : `${identifierText(schema)}.${own}`}`;
}

function statements(item: string, object: string): string[] {
  const acl = readAclItem(item);
  if (acl === undefined || acl.rights.some(({ letter }) => letters[letter] === undefined)) return [`${item};`];
  const grantee = acl.grantee === '' ? 'PUBLIC' : identifierText(acl.grantee);
  const words = (withOption: boolean) =>
    acl.rights.filter(({ grantOption }) => grantOption === withOption).map(({ letter }) => letters[letter]!);
  return [false, true].flatMap((withOption) => {
    const list = words(withOption);
    return list.length === 0 ? [] : [`GRANT ${list.join(', ')} ON ${object} TO ${grantee}${withOption ? ' WITH GRANT OPTION' : ''};`];
  });
}
