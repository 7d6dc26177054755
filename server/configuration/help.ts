/** The text of `pgpier --help`, from the table of settings. */
import { subcommands } from '../subcommands.ts';
import { type Setting, settings, variableOf } from './settings.ts';

const WIDTH = 100;
const INDENT = 6;

/** `text` in lines of at most WIDTH characters, each behind `indent` blanks. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((each) => ' '.repeat(indent) + each).join('\n');
}

function describe(setting: Setting): string {
  const variable = variableOf(setting.name);
  const flag = `--${setting.name}${setting.value === undefined ? '' : ` ${setting.value}`}`;
  const head = setting.secret ? variable : `${flag}   (${variable})`;
  const fallback = setting.default === undefined ? '' : `; default: ${setting.default}`;
  return `  ${head}\n${wrap(setting.description + fallback, INDENT)}`;
}

export function helpText(): string {
  const all: readonly Setting[] = settings;
  return `pgpier: a PostgreSQL wire proxy with named, grantable connections to the outside

Usage: pgpier [--name value …]
${subcommands.map(({ name, usage, summary }) => `       ${`pgpier ${name} ${usage}`.padEnd(42)}${summary}`).join('\n')}

A setting is taken from its flag, else from its environment variable, else from the --config file, else it has its default.

${all
  .filter((setting) => !setting.secret)
  .map(describe)
  .join('\n')}

Secrets have no flag, because ps shows flags; they come from the environment or the --config file:
${all
  .filter((setting) => setting.secret)
  .map(describe)
  .join('\n')}

The password of a backend or catalog URL stands in the URL (not in a flag's), or in PGPASSWORD, PGPASSFILE or ~/.pgpass.

  --help       print this
  --version    print the version
`;
}
