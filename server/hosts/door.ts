/**
 * A Unix-domain socket of PgPier's own that always leads to the primary of several hosts. Catalog, jobs and pg_dump connect to it as to one server that
 * never moves; a thread carries the bytes, so that a backup's do not pass by the relays.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Config } from '../config.ts';
import type { ConnectionTarget } from '../configuration/connectionUri.ts';
import type { Lifecycle } from '../lifecycle.ts';

export type Which = 'backend' | 'catalog';

/** The targets of our own logins; none where there is one host alone. */
export type Doors = { readonly [which in Which]?: ConnectionTarget };

/** The port in the name of a socket. */
export const doorPort = 5432;

/** `workerData` of a door's thread, which reads the configuration again: that holds secrets, which are no plain data. */
export interface DoorSettings {
  readonly which: Which;
  readonly argv: readonly string[];
  readonly directory: string;
}

/** What is plain of the doors, for relays' threads. */
export type DoorDirectories = { readonly [which in Which]?: string };

/**
 * Opens a door to each of the configuration's servers that has several hosts.
 * @param failed called when one ends by itself
 */
export async function openDoors(config: Config, lifecycle: Lifecycle, failed: (what: string) => void): Promise<DoorDirectories> {
  const directories: { [which in Which]?: string } = {};
  for (const which of ['backend', 'catalog'] as const) {
    if (targetOf(config, which)?.choice === undefined) continue;
    // The account's alone: who may open a door may try a password.
    const directory = mkdtempSync(join(tmpdir(), 'pgpier-door-'));
    const remove = (): void => rmSync(directory, { recursive: true, force: true });
    const settings: DoorSettings = { which, argv: process.argv.slice(2), directory };
    const thread = new Worker(new URL('./doorThread.ts', import.meta.url), { workerData: settings, name: `door to the ${which}` });
    let why = '';
    let stopping = false;
    thread.on('error', (error) => {
      why = `: ${error.stack ?? error.message}`;
    });
    const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    void ended.then(() => {
      if (!stopping) failed(`the door to the ${which} ended by itself${why}`);
    });
    lifecycle.add(`door to the ${which}`, async () => {
      stopping = true;
      await thread.terminate();
      remove();
    });
    await Promise.race([new Promise<void>((resolve) => thread.once('message', () => resolve())), ended]);
    directories[which] = directory;
  }
  return directories;
}

/** As `openDoors` made them. */
export function doorsOf(config: Config, directories: DoorDirectories): Doors {
  const door = (which: Which): ConnectionTarget | undefined => {
    const directory = directories[which];
    if (directory === undefined) return undefined;
    const { user, database, password } = targetOf(config, which)!;
    return { host: directory, port: doorPort, user, database, ...(password && { password }), sslmode: 'disable' };
  };
  const [backend, catalog] = [door('backend'), door('catalog')];
  return { ...(backend && { backend }), ...(catalog && { catalog }) };
}

/** What stands behind a door. */
export function targetOf(config: Config, which: Which): ConnectionTarget | undefined {
  if (which === 'catalog') return config.catalog;
  return config.backend.kind === 'server' ? config.backend.target : undefined;
}
