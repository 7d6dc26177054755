/** Programs in Go that tests bring along, built where they are used: what Go has built once it keeps. */
import { execFileSync } from 'node:child_process';
import { findBinary } from './localServer.ts';

/** Builds the module in `folder` as `target`; answers why not when Go is missing, too old, or cannot get what the module needs. `name` begins the reason. */
export function buildGo(name: string, folder: string, target: string): string | false {
  const go = findBinary('go');
  if (go === undefined) return `${name}: Go is not installed`;
  try {
    execFileSync(go, ['build', '-o', target, '.'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    return false;
  } catch (error) {
    const said = String((error as { stderr?: Buffer }).stderr ?? error);
    if (/dial tcp|lookup|proxy|timeout|no required module/.test(said))
      return `${name}: the module cannot be fetched (${said.split('\n')[0]})`;
    // Go before 1.21 cannot read what newer modules need; from 1.21 on it fetches a newer one itself where it may.
    if (/invalid go version|requires go >=|toolchain not available/.test(said))
      return `${name}: Go is too old (${said.trim().split('\n').at(-1)})`;
    throw error;
  }
}
