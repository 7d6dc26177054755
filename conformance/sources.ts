/** Sources that checks need: fetched once, kept in `~/.cache/pgpier/conformance`, and used only if their sum is the known one. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

export const cache = join(homedir(), '.cache', 'pgpier', 'conformance');

/** The archive's path. `fetch` writes it to the path that it is given; it gets its name once it is whole and what it should be. */
export function archive(name: string, sha256: string, fetch: (partial: string) => void): string {
  const path = join(cache, name);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const partial = `${path}.partial`;
  fetch(partial);
  const sum = createHash('sha256').update(readFileSync(partial)).digest('hex');
  if (sum !== sha256) throw new Error(`${name} is not what it should be: SHA-256 ${sum}`);
  renameSync(partial, path);
  return path;
}

/** A directory of the cache that `make` fills; whole or not there. */
export function made(name: string, make: (directory: string) => void): string {
  const path = join(cache, name);
  if (existsSync(path)) return path;
  const partial = `${path}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  make(partial);
  renameSync(partial, path);
  return path;
}

/** @throws Error with the program's last words. */
export function command(program: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): string {
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 1_200_000,
      maxBuffer: 1 << 28,
      ...options,
    });
  } catch (error) {
    const { stderr, stdout, message } = error as { stderr?: string; stdout?: string; message: string };
    const said = (stderr?.trim() || stdout?.trim() || message).split('\n');
    throw new Error(`${program} ${args[0]}: ${said.findLast((line) => /error|fail|could not|cannot|not /i.test(line)) ?? said.at(-1)}`);
  }
}

/** Why a program of PATH cannot be used; false where it can. */
export function missingCommand(...names: readonly string[]): string | false {
  const directories = (process.env.PATH ?? '').split(delimiter);
  const absent = names.find((name) => !directories.some((directory) => existsSync(join(directory, name))));
  return absent === undefined ? false : `${absent} is not installed`;
}
