/** libpq's password file (PostgreSQL documentation, "The Password File"): `host:port:database:user:password`, `*` matches anything. */
import { readFileSync, statSync } from 'node:fs';
import { Secret } from '../../catalog/secrets.ts';

export interface PasswordWanted {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** Fields of one line; `\` takes the next character as it is. The password is all that follows the fourth colon. */
function splitLine(line: string): string[] {
  const fields = [''];
  for (let index = 0; index < line.length; index++) {
    const character = line[index]!;
    const last = fields.length - 1;
    if (character === '\\' && index + 1 < line.length) fields[last] += line[++index]!;
    else if (character === ':' && fields.length < 5) fields.push('');
    else fields[last] += character;
  }
  return fields;
}

/** The password of the first line that fits; a Unix socket's host is matched as `localhost`, as libpq does for its default directory. */
export function findPassword(text: string, wanted: PasswordWanted): Secret | undefined {
  const hosts = wanted.host.startsWith('/') ? [wanted.host, 'localhost'] : [wanted.host];
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue;
    const [host, port, database, user, password] = splitLine(line);
    if (password === undefined) continue;
    const fits = (field: string | undefined, value: string): boolean => field === '*' || field === value;
    if (!hosts.some((each) => fits(host, each)) || !fits(port, String(wanted.port))) continue;
    if (fits(database, wanted.database) && fits(user, wanted.user)) return new Secret(password);
  }
  return undefined;
}

/** As `findPassword`, from a file; as in libpq, a file that others may read is not used, which comes back as a warning. */
export function readPasswordFile(path: string, wanted: PasswordWanted): { readonly password?: Secret; readonly warning?: string } {
  let text: string;
  try {
    const status = statSync(path);
    if (!status.isFile()) return { warning: `password file "${path}" is not a plain file` };
    if ((status.mode & 0o077) !== 0)
      return { warning: `password file "${path}" has group or world access; permissions should be 0600 or less` };
    text = readFileSync(path, 'utf8');
  } catch {
    return {};
  }
  const password = findPassword(text, wanted);
  return password === undefined ? {} : { password };
}
