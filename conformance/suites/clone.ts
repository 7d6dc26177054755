/** Tests that no package of a registry carries: from a clone of the driver's repository that is on this machine. A commit's hash is the sum of all its files. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { command, made } from '../sources.ts';

export interface Clone {
  /** Of the directory in PGPIER_CONFORMANCE_CLONES. */
  readonly name: string;
  readonly version: string;
  readonly commit: string;
}

const clones = process.env.PGPIER_CONFORMANCE_CLONES;

/** A quick look; whether the clone has the commit is told by `cloned`. */
export function missingClone({ name, version }: Clone): string | false {
  if (clones !== undefined && existsSync(join(clones, name))) return false;
  return `no registry carries its tests, and PGPIER_CONFORMANCE_CLONES names no directory with a clone ${name} that has ${version}`;
}

/** A copy of the commit's files in the cache. @throws Error when the clone does not have it. */
export function cloned({ name, version, commit }: Clone): string {
  return made(`${name}-${version}`, (directory) => {
    const tarball = `${directory}.tar`;
    command('git', ['-C', join(clones!, name), 'archive', `--output=${tarball}`, commit]);
    command('tar', ['-xf', tarball, '-C', directory]);
  });
}
