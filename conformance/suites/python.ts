/** Python drivers: their packages in an environment of their own, by hash; their tests run by pytest. */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Endpoint, Item } from '../check.ts';
import { archive, cache, command } from '../sources.ts';
import { itemsOfJunit } from './junit.ts';
import { runSuite, suiteEnvironment } from './program.ts';

/** A virtual environment with what `pins/<name>.txt` names, packages as wheels and no others. */
export function pythonEnvironment(name: string): string {
  const pins = fileURLToPath(new URL(`pins/${name}.txt`, import.meta.url));
  // An environment knows its own path: made in place, and marked when whole.
  const directory = join(cache, `python-${name}`);
  const mark = join(directory, 'pins.txt');
  if (same(mark, pins)) return directory;
  command('python3', ['-m', 'venv', '--clear', directory]);
  command(join(directory, 'bin', 'pip'), ['install', '--quiet', '--require-hashes', '--only-binary=:all:', '-r', pins]);
  copyFileSync(pins, mark);
  return directory;
}

/** A package's source archive, as pip gets it. */
export function sourceArchive(name: string, version: string, sha256: string): string {
  const file = `${name}-${version}.tar.gz`;
  return archive(file, sha256, (partial) => {
    command('pip3', ['download', '--quiet', '--no-deps', '--no-binary', name, '-d', `${partial}.d`, `${name}==${version}`]);
    copyFileSync(join(`${partial}.d`, file), partial);
  });
}

/** Names of items are pytest's own: `file::class::test`. */
export async function pytest(
  endpoint: Endpoint,
  environment: string,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Item[]> {
  const report = join(endpoint.directory, 'report.xml');
  await runSuite({
    program: join(environment, 'bin', 'python'),
    args: ['-m', 'pytest', '-q', `--junitxml=${report}`, ...args],
    cwd,
    env: suiteEnvironment({ PYTHONDONTWRITEBYTECODE: '1', ...env }),
    log: join(endpoint.directory, 'pytest.log'),
  });
  return itemsOfJunit(readFileSync(report, 'utf8'));
}

/** What pytest calls an item on its command line: of `tests.test_copy.TestCopy::test_x` that is `tests/test_copy.py::TestCopy::test_x`. */
export function pytestNames(names: readonly string[]): string[] {
  return names.map((name) => {
    const [place = '', ...test] = name.split('::');
    const parts = place.split('.');
    const files = parts.findIndex((part) => part.startsWith('test_')) + 1;
    return [`${parts.slice(0, files).join('/')}.py`, ...parts.slice(files), test.join('::')].join('::');
  });
}

function same(file: string, other: string): boolean {
  try {
    return readFileSync(file, 'utf8') === readFileSync(other, 'utf8');
  } catch {
    return false;
  }
}
