/** What a `userfile://` URI says. Pure. Whose files it means is decided where it is resolved (`jobs/destination.ts`). */
import { PgPierError } from '../../errors.ts';
import { cleanPath, type ExternalUri } from '../uri.ts';
import { takeParameters } from './parameters.ts';

export interface UserfileUri {
  readonly place: UserfilePlace;
  /** Without slashes at its ends; '' for everything. */
  readonly base: string;
}

export type UserfilePlace =
  /** No host: the files of whoever asks. */
  | { readonly kind: 'own' }
  /** `defaultdb.public.userfiles_<role>`, CockroachDB's name for the files of a role. */
  | { readonly kind: 'role'; readonly role: string }
  /** `database.schema.prefix`, quoted where it must be: an identity, no table. */
  | { readonly kind: 'named'; readonly name: string };

const rolePrefix = 'userfiles_';
/** Of a path's UTF-8 form, as on S3. */
export const longestPath = 1024;

/** @throws PgPierError 22023 */
export function parseUserfileUri(uri: ExternalUri): UserfileUri {
  takeParameters(uri, 'userfile', []);
  if (uri.userinfo !== undefined) throw new PgPierError('userfileHostInvalid');
  return { place: placeOf(uri.host), base: basePath(uri.path) };
}

function placeOf(host: string): UserfilePlace {
  if (host === '') return { kind: 'own' };
  const parts = splitName(host);
  if (parts?.length !== 3 || parts.includes('')) throw new PgPierError('userfileHostInvalid');
  const [database, schema, prefix] = parts as [string, string, string];
  if (database === 'defaultdb' && schema === 'public' && prefix.startsWith(rolePrefix) && prefix !== rolePrefix) {
    return { kind: 'role', role: prefix.slice(rolePrefix.length) };
  }
  return { kind: 'named', name: parts.map(quoted).join('.') };
}

/** The host part by which a role's files are named. */
export function roleHost(role: string): string {
  return `defaultdb.public.${quoted(rolePrefix + role)}`;
}

/** Parts of a qualified SQL name: bare ones fold to lower case, quoted ones are taken as they are. Undefined if it is none. */
function splitName(text: string): string[] | undefined {
  const parts: string[] = [];
  let rest = text;
  for (;;) {
    const [whole, inQuotes, bare] = /^(?:"((?:[^"]|"")*)"|([^".]*))(?=\.|$)/.exec(rest) ?? [];
    if (whole === undefined) return undefined;
    parts.push(inQuotes === undefined ? bare!.toLowerCase() : inQuotes.replaceAll('""', '"'));
    if (whole.length === rest.length) return parts;
    rest = rest.slice(whole.length + 1);
  }
}

function quoted(part: string): string {
  return /[".]/.test(part) || part !== part.toLowerCase() ? `"${part.replaceAll('"', '""')}"` : part;
}

/** A slash at the end is let pass: what lies below is the same. */
function basePath(path: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\x00-\x1f\x7f]/.test(path)) throw new PgPierError('storagePathInvalid', { path: JSON.stringify(path) });
  const given = path.replace(/(?<=.)\/$/, '') || '/';
  const clean = cleanPath(given);
  if (clean !== given) throw new PgPierError('userfilePathChanges', { path, normal: clean });
  return clean.slice(1);
}
