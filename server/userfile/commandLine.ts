/** The command line of `pgpier userfile`: what is asked, apart from the settings, which are those of the proxy. Pure. */
import { settings } from '../configuration/settings.ts';

export type UserfileCommand =
  | { readonly kind: 'upload'; readonly file: string; readonly path: string | undefined; readonly force: boolean }
  | { readonly kind: 'list'; readonly prefix: string; readonly long: boolean }
  | { readonly kind: 'get'; readonly path: string; readonly file: string | undefined; readonly force: boolean }
  | { readonly kind: 'delete'; readonly paths: readonly string[] };

export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'mistake'; readonly message: string }
  /** `settings`: flags and their values, for `readConfig`. `user`: whose files, a role's name. */
  | {
      readonly kind: 'command';
      readonly command: UserfileCommand;
      readonly user: string | undefined;
      readonly settings: readonly string[];
    };

export const usage = `Usage: pgpier userfile upload [--force] FILE [PATH]    a local file ("-": standard input) becomes PATH (default: its name)
       pgpier userfile list [--long] [PREFIX]         prints paths, with --long sizes in bytes before them
       pgpier userfile get [--force] PATH [FILE]      PATH becomes a local file (default: its name; "-": standard output)
       pgpier userfile delete PATH …

  --user ROLE   whose files; default: the user of the backend URL
  --force       replaces what is there already
  --backend, --catalog, --data, --config and the environment variables say where the catalog is, as for pgpier itself

PATH is path/in/the/storage, or a URI: userfile:///path, userfile://defaultdb.public.userfiles_ROLE/path, percent-encoded.

This is the operator's tool: it logs in to the catalog as PgPier does, with PgPier's settings (passwords by PGPASSWORD, PGPASSFILE or ~/.pgpass), on a machine
that reaches the catalog. Without PGPIER_BACKEND it uses the embedded PostgreSQL of a PgPier that runs on the data directory.

Exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`;

const switches = ['--force', '--long'];

export function readCommandLine(argv: readonly string[]): CommandLine {
  const words: string[] = [];
  const given = new Set<string>();
  const forConfig: string[] = [];
  let user: string | undefined;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index]!;
    if (argument === '--') {
      words.push(...argv.slice(index + 1));
      break;
    }
    if (argument === '--help' || argument === '-h') return { kind: 'help' };
    if (!argument.startsWith('--')) words.push(argument);
    else if (switches.includes(argument)) given.add(argument);
    else if (argument === '--user' || argument.startsWith('--user=')) {
      user = argument === '--user' ? argv[++index] : argument.slice('--user='.length);
      if (user === undefined || user === '') return mistake('--user needs the name of a role');
    } else {
      forConfig.push(argument);
      const setting = settings.find(({ name }) => argument === `--${name}`);
      const following = argv[index + 1];
      if (setting !== undefined && 'value' in setting && following !== undefined && !following.startsWith('--')) {
        forConfig.push(following);
        index++;
      }
    }
  }
  const [verb, ...rest] = words;
  if (verb === undefined) return mistake('say what to do: upload, list, get or delete');
  const read = readers[verb];
  if (read === undefined) return mistake(`there is no "pgpier userfile ${verb}": it is upload, list, get or delete`);
  const odd = [...given].find((each) => !read.switches.includes(each));
  if (odd !== undefined) return mistake(`${odd} means nothing to ${verb}`);
  if (rest.length < read.least) return mistake(`${verb} needs ${read.needs}`);
  if (rest.length > read.most) return mistake(`${verb} takes no "${rest[read.most]}"`);
  if (rest.includes('')) return mistake('an argument is empty');
  if (verb === 'upload' && rest[0] === '-' && rest[1] === undefined) return mistake('upload of standard input needs a PATH');
  return { kind: 'command', command: read.command(rest, given), user, settings: forConfig };
}

const readers: Readonly<
  Record<
    string,
    {
      readonly least: number;
      readonly most: number;
      readonly needs: string;
      readonly switches: readonly string[];
      command(words: readonly string[], given: ReadonlySet<string>): UserfileCommand;
    }
  >
> = {
  upload: {
    least: 1,
    most: 2,
    needs: 'a FILE',
    switches: ['--force'],
    command: ([file, path], given) => ({ kind: 'upload', file: file!, path, force: given.has('--force') }),
  },
  list: {
    least: 0,
    most: 1,
    needs: '',
    switches: ['--long'],
    command: ([prefix = ''], given) => ({ kind: 'list', prefix, long: given.has('--long') }),
  },
  get: {
    least: 1,
    most: 2,
    needs: 'a PATH',
    switches: ['--force'],
    command: ([path, file], given) => ({ kind: 'get', path: path!, file, force: given.has('--force') }),
  },
  delete: {
    least: 1,
    most: Number.POSITIVE_INFINITY,
    needs: 'a PATH',
    switches: [],
    command: (paths) => ({ kind: 'delete', paths }),
  },
};

const mistake = (message: string): CommandLine => ({ kind: 'mistake', message });
