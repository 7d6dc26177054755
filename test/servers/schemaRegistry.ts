/**
 * A real schema registry for one test file: Apicurio, which answers as Confluent's does below /apis/ccompat/v7, with its data in memory. Looked for in
 * ~/.cache/pgpier/apicurio-<version>, where .ci/run puts it from Maven Central; Java 17 runs it.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface SchemaRegistryServer {
  /** `http://127.0.0.1:port/apis/ccompat/v7`. */
  readonly url: string;
  stop(): Promise<void>;
}

const version = '3.0.9';

export async function startSchemaRegistry(): Promise<SchemaRegistryServer | { readonly missing: string }> {
  const folder = join(homedir(), `.cache/pgpier/apicurio-${version}`);
  const jar = join(folder, `apicurio-registry-app-${version}-runner.jar`);
  if (!existsSync(jar)) return { missing: `apicurio: no registry in ${folder}` };
  const home = mkdtempSync(join(tmpdir(), 'pgp-registry-'));
  const port = await freePort();
  const log = openSync(join(home, 'log'), 'a');
  const java = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-jar', jar];
  const running = spawn('java', java, {
    cwd: home,
    stdio: ['ignore', log, log],
    detached: true,
    env: { PATH: process.env.PATH, QUARKUS_HTTP_HOST: '127.0.0.1', QUARKUS_HTTP_PORT: String(port) },
  });
  closeSync(log);
  running.unref();
  const spawned = await new Promise<boolean>((resolve) => running.once('spawn', () => resolve(true)).once('error', () => resolve(false)));
  if (!spawned) {
    rmSync(home, { recursive: true });
    return { missing: 'apicurio: no java on the PATH' };
  }
  const watchdog = guard([running.pid!], home);
  const stop = async (): Promise<void> => {
    await end(running.pid!, 'SIGKILL');
    watchdog.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  for (let waited = 0; ; waited += 200) {
    if (
      await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5_000) }).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return { url, stop };
    if (waited > 60_000 || running.exitCode !== null) {
      const told = readFileSync(join(home, 'log'), 'utf8').slice(-2000);
      await stop();
      throw new Error(`the schema registry did not start: ${told}`);
    }
    await sleep(200);
  }
}
