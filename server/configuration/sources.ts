/** Where settings are looked up: flag, else environment, else file. Finds what is unknown or given wrongly; does not judge the values. */
import { readFileSync, statSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { type Setting, type SettingName, settings, variableOf } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Found {
  readonly text: string;
  readonly from: 'flag' | 'environment' | 'file';
  /** As the user wrote it: `--listen`, `PGPIER_LISTEN`. */
  readonly label: string;
}

export interface Sources {
  readonly asked: 'help' | 'version' | 'start';
  readonly found: ReadonlyMap<SettingName, Found>;
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
}

const byName: ReadonlyMap<string, Setting> = new Map(settings.map((setting) => [setting.name, setting]));
const byVariable: ReadonlyMap<string, Setting> = new Map(settings.map((setting) => [variableOf(setting.name), setting]));

export function readSources(argv: readonly string[], environment: Environment): Sources {
  const found = new Map<SettingName, Found>();
  const mistakes: string[] = [];
  const warnings: string[] = [];
  let asked: Sources['asked'] = 'start';

  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index]!;
    if (argument === '--help' || argument === '-h') asked = 'help';
    else if (argument === '--version' || argument === '-V') asked = asked === 'help' ? 'help' : 'version';
    else if (!argument.startsWith('--')) mistakes.push(`unexpected argument "${argument}"; settings are written --name value`);
    else {
      const equals = argument.indexOf('=');
      const name = argument.slice(2, equals < 0 ? undefined : equals);
      const setting = byName.get(name);
      // Neither message may print what follows: it could be the secret itself.
      if (setting === undefined) mistakes.push(`there is no flag --${name}; --help lists them`);
      else if (setting.secret) mistakes.push(`--${name} is no flag, because ps shows flags to everybody; set ${variableOf(name)} instead`);
      const switched = setting !== undefined && setting.value === undefined;
      const following = argv[index + 1];
      const takesNext = equals < 0 && !switched && following !== undefined && !following.startsWith('--');
      const text = equals >= 0 ? argument.slice(equals + 1) : takesNext ? following : switched ? 'on' : undefined;
      if (takesNext) index++;
      if (setting === undefined || setting.secret) continue;
      if (text === undefined) mistakes.push(`--${name} needs a value: ${setting.value}`);
      else if (found.has(name as SettingName)) mistakes.push(`--${name} is given twice`);
      else found.set(name as SettingName, { text, from: 'flag', label: `--${name}` });
    }
  }

  const take = (variables: Environment, from: 'environment' | 'file', unknown: string[]): void => {
    for (const [variable, text] of Object.entries(variables)) {
      const setting = byVariable.get(variable);
      if (setting === undefined) {
        if (variable.startsWith('PGPIER_') || from === 'file') unknown.push(variable);
      } else if (text !== undefined && text !== '' && !found.has(setting.name as SettingName))
        found.set(setting.name as SettingName, { text, from, label: variable });
    }
  };

  const unknownVariables: string[] = [];
  take(environment, 'environment', unknownVariables);
  for (const variable of unknownVariables) warnings.push(`environment variable ${variable} is not a setting of PgPier and was ignored`);

  const file = found.get('config');
  if (file !== undefined) {
    const unknownLines: string[] = [];
    try {
      const text = readFileSync(file.text, 'utf8');
      const variables = parseEnv(text);
      take(variables, 'file', unknownLines);
      const holdsSecret = Object.keys(variables).some((variable) => byVariable.get(variable)?.secret);
      if (holdsSecret && (statSync(file.text).mode & 0o077) !== 0)
        mistakes.push(`${file.label}: "${file.text}" holds a secret and others may read it; make it mode 0600`);
    } catch (error) {
      mistakes.push(`${file.label}: "${file.text}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`);
    }
    for (const line of unknownLines) mistakes.push(`${file.label}: there is no setting ${line}; --help lists them`);
  }
  return { asked, found, mistakes, warnings };
}
