/** `pgpier`, `pgpier worker`: reads the configuration, starts everything, prints the ready line, and stops everything when told. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { readConfig } from './config.ts';
import { helpText } from './configuration/help.ts';
import { startWorker } from './jobWorker.ts';
import { Lifecycle } from './lifecycle.ts';
import { openLog } from './log.ts';
import { sentence } from './sentence.ts';
import { type Started, start } from './start.ts';

/** npm passes a terminal's Ctrl-C on although the terminal did so too: signals this close together are one. */
const SAME_SIGNAL_MS = 1_000;
const PARENT_LOOK_MS = 1_000;

const reading = readConfig(process.argv.slice(2), process.env);
switch (reading.kind) {
  case 'help':
    process.stdout.write(helpText());
    break;
  case 'version': {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
    process.stdout.write(`pgpier ${version}\n`);
    break;
  }
  case 'mistakes': {
    const { mistakes } = reading;
    const lines = mistakes.map((mistake) => `  ${mistake}\n`).join('');
    process.stderr.write(`pgpier: ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`} in the configuration:\n${lines}`);
    process.exitCode = 1;
    break;
  }
  case 'config':
    await run(reading.config);
}

async function run(config: Extract<typeof reading, { kind: 'config' }>['config']): Promise<void> {
  const log = openLog(config.logLevel);
  for (const warning of config.warnings) log.warn({}, warning);
  const lifecycle = new Lifecycle(log);
  const starting = new AbortController();
  let told: number | undefined;

  const end = async (code: number): Promise<never> => {
    starting.abort();
    await settled;
    await lifecycle.stop();
    process.exit(code);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (told === undefined) {
      told = Date.now();
      log.info({}, `${name}: draining; once more ends at once what is left`);
      void end(0);
    } else if (Date.now() - told > SAME_SIGNAL_MS) {
      log.warn({}, `${name} again: ending at once`);
      void lifecycle.stopNow().then(() => process.exit(1));
    }
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  let reload = (): void => log.info({}, 'SIGHUP: there is nothing to read again yet');
  // The end of a terminal, where there is one; else the operator's wish, as PostgreSQL takes it.
  process.on('SIGHUP', (name) => (process.stdin.isTTY || config.command === 'worker' ? onSignal(name) : reload()));
  let handOver = async (): Promise<void> => {};
  let handingOver = false;
  process.on('SIGUSR2', () => {
    if (handingOver || told !== undefined) return;
    handingOver = true;
    log.info({}, 'SIGUSR2: the port is left to a successor; PgPier ends with its last session');
    void settled
      .then(() => handOver())
      .then(() => {
        if (told !== undefined) return;
        told = Date.now();
        log.info({}, 'the last session has ended');
        return end(0);
      });
  });
  // npm (or its shell) that is killed outright passes nothing on; without it nobody would end this.
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event !== undefined)
    setInterval(() => {
      if (process.ppid !== parent && told === undefined) onSignal('SIGTERM');
    }, PARENT_LOOK_MS).unref();
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, `${event}: this is a defect of PgPier, please report it`);
      if (told === undefined) {
        told = Date.now();
        void end(1);
      }
    });
  const failed = (what: string): void => {
    if (told !== undefined || lifecycle.stopping) return;
    told = Date.now();
    log.fatal({}, what);
    void end(1);
  };

  // SIGTERM before the ready line gives the start up: the part that is coming up ends first, then those that run.
  const begun: Promise<Partial<Started> & { readyLine: string }> =
    config.command === 'worker'
      ? startWorker(config, lifecycle, log, failed).then((readyLine) => ({ readyLine }))
      : start(config, lifecycle, log, starting.signal, failed);
  const settled = begun.then(
    (started) => {
      keepYoungHeapSmall();
      const { readyLine } = started;
      if (started.reload) reload = started.reload;
      if (started.handOver) handOver = started.handOver;
      if (told === undefined) process.stdout.write(`${readyLine}\n`);
    },
    async (error: unknown) => {
      if (told === undefined) process.stderr.write(`pgpier: cannot start: ${sentence(error)}\n`);
      await lifecycle.stop();
      if (told === undefined) process.exit(1);
    },
  );
  await settled;
}

/**
 * V8 lets the space of young objects grow to 128 MiB in a burst of logins and does not give it back: 20 KiB for each of 5,000 idle sessions.
 * A relay's garbage dies at once, so the 4 MiB that it has after the start cost no speed (docs/performance.md).
 */
function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
