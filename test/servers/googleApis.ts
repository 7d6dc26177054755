/**
 * Google's REST APIs of Pub/Sub and Cloud KMS for one test file: `googleApis/`, a program in Go. Pub/Sub behind it is Google's own fake; Cloud KMS is ours, read and written by Google's
 * own definitions. Any token will do.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGo } from './goProgram.ts';
import { end, guard } from './localServer.ts';

export interface GoogleApis {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  stop(): Promise<void>;
}

export async function startGoogleApis(): Promise<GoogleApis | { readonly missing: string }> {
  const home = mkdtempSync(join(tmpdir(), 'pgp-google-'));
  const program = join(home, 'googleapis');
  const missing = buildGo('googleapis', fileURLToPath(new URL('googleApis/', import.meta.url)), program);
  if (missing) {
    rmSync(home, { recursive: true });
    return { missing };
  }
  const child = spawn(program, ['0'], { cwd: home, env: {}, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  const watchdog = guard([child.pid!], home);
  const [port] = (await child.stdout.iterator({ destroyOnReturn: false }).next()).value.toString().split('\n');
  child.unref();
  (child.stdout as unknown as { unref(): void }).unref();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async stop() {
      await end(child.pid!, 'SIGTERM');
      watchdog.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
