/** Go modules come with their tests, and with a sum over all of their files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint, Item } from '../check.ts';
import { command } from '../sources.ts';
import { runSuite, suiteEnvironment } from './program.ts';

export interface GoModule {
  readonly path: string;
  readonly version: string;
  /** As go.sum has it. */
  readonly sum: string;
}

interface Event {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
  readonly Output?: string;
}

// A Go that is too old is told, not replaced by one from elsewhere.
const local = { GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly' };

/** Where the module's files are. @throws Error when the proxy does not have it, or has another. */
export function goModule({ path, version, sum }: GoModule): string {
  const told = command('go', ['mod', 'download', '-json', `${path}@${version}`], { env: suiteEnvironment(local) });
  const { Sum, Dir } = JSON.parse(told) as { Sum: string; Dir: string };
  if (Sum !== sum) throw new Error(`${path}@${version} is not what it should be: ${Sum}`);
  command('go', ['mod', 'download'], { cwd: Dir, env: suiteEnvironment(local) });
  return Dir;
}

/** One package after the other: they share the database. */
export async function goTest(
  endpoint: Endpoint,
  module: GoModule,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<Item[]> {
  const log = join(endpoint.directory, 'go-test.json');
  await runSuite({
    program: 'go',
    args: ['test', '-json', '-count=1', '-p=1', ...args, './...'],
    cwd: goModule(module),
    env: suiteEnvironment({ ...local, ...env }),
    log,
  });
  return itemsOf(readFileSync(log, 'utf8'), module.path);
}

/** `-run` for these items and what they are part of. */
export function goRunPattern(names: readonly string[]): string {
  const tops = new Set(names.map((name) => name.split(' ').slice(1).join(' ').split('/')[0]!));
  return `-run=^(${[...tops].join('|')})$`;
}

/** A test is named by its package and itself; a package that does not build or ends by itself is an item, too. */
function itemsOf(log: string, module: string): Item[] {
  const said = new Map<string, string>();
  const items: Item[] = [];
  for (const line of log.split('\n')) {
    if (!line.startsWith('{')) continue;
    const { Action, Package = '', Test = '', Output = '' } = JSON.parse(line) as Event;
    const name = `${Package.slice(module.length + 1) || '.'} ${Test.replace(/\/tmp\/\w+/g, 'tmp')}`.trim();
    if (Action === 'output') said.set(name, (said.get(name) ?? '') + Output);
    // A package fails with its tests; one that fails without is an item.
    const told = Test === '' && items.some((item) => item.failure !== undefined && item.name.startsWith(`${name} `));
    if (Action === 'fail' && !told) items.push({ name, failure: firstWords(said.get(name) ?? '') });
    if (Test !== '' && Action === 'pass') items.push({ name });
    if (Test !== '' && Action === 'skip') items.push({ name, skipped: true });
  }
  return items;
}

function firstWords(output: string): string {
  const lines = output.split('\n').map((line) => line.trim());
  const at = lines.findIndex((line) => /^Error:|\.go:\d+: ./.test(line));
  return lines
    .slice(Math.max(at, 0))
    .filter((line) => line !== '' && !line.startsWith('==='))
    .slice(0, 3)
    .join(' ')
    .slice(0, 300);
}
