/** PostgreSQL's `aclitem` as text: `grantee=letters/grantor`, a name in double quotes where it must be, `*` behind a letter for the grant option. Pure. */

export interface AclItem {
  /** Empty for PUBLIC. */
  readonly grantee: string;
  readonly rights: readonly { readonly letter: string; readonly grantOption: boolean }[];
}

/** Undefined for a text that is no aclitem. */
export function readAclItem(item: string): AclItem | undefined {
  const [, quoted, plain, rights] = /^(?:"((?:[^"]|"")*)"|([^"=]*))=((?:[A-Za-z]\*?)*)\//.exec(item) ?? [];
  if (rights === undefined) return undefined;
  return {
    grantee: quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
    rights: [...rights.matchAll(/([A-Za-z])(\*?)/g)].map(([, letter, option]) => ({ letter: letter!, grantOption: option === '*' })),
  };
}
