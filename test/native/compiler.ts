/** What the addon's tests need of the machine. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { addonPath } from '../../server/native/build.mjs';

const compiler = process.env.CC || 'cc';

/** A reason to skip, or false. */
export function missingCompiler(): string | false {
  if (process.platform !== 'linux') return 'Linux: the addon is for it alone';
  return spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0 ? false : `C compiler: ${compiler} is not installed`;
}

/** The same where the built addon itself is needed. */
export function missingAddon(): string | false {
  if (process.platform !== 'linux') return 'Linux: the addon is for it alone';
  return existsSync(addonPath()) ? false : 'C compiler: the addon is not built (node server/native/build.mjs)';
}
