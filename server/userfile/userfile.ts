/** `pgpier userfile upload | list | get | delete`: reads the command line, does it, and ends with an exit code. */
import { PgPierError } from '../../errors.ts';
import { readConfig } from '../config.ts';
import type { Program } from '../subcommands.ts';
import { type CatalogFiles, openCatalogFiles } from './catalogFiles.ts';
import { readCommandLine, type UserfileCommand, usage } from './commandLine.ts';
import { download, find, Refusal, upload } from './transfer.ts';

const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export const runUserfile: Program = async (argv, environment) => {
  const line = readCommandLine(argv);
  if (line.kind === 'help') {
    process.stdout.write(usage);
    return exitCodes.done;
  }
  if (line.kind === 'mistake') return say(line.message, exitCodes.usage, 'pgpier userfile --help tells more.');
  const reading = readConfig(['userfile', ...line.settings], environment);
  if (reading.kind === 'mistakes') return say(`the configuration: ${reading.mistakes.join('; ')}`, exitCodes.usage);
  if (reading.kind !== 'config') return say('--version belongs to pgpier itself', exitCodes.usage);
  for (const warning of reading.config.warnings) process.stderr.write(`pgpier userfile: ${warning}\n`);

  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  // A reader of our output that has gone shows where we write.
  process.stdout.on('error', () => {});
  let files: CatalogFiles | undefined;
  try {
    files = await openCatalogFiles(reading.config, line.user);
    return await carryOut(files, line.command, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return say('interrupted; nothing was left half done', exitCodes.interrupted);
    return say(sentence(error), exitCodes.failed);
  } finally {
    await files?.close().catch(() => {});
  }
};

async function carryOut(files: CatalogFiles, command: UserfileCommand, signal: AbortSignal): Promise<number> {
  switch (command.kind) {
    case 'upload': {
      const uri = await upload(await files.place(command.path ?? ''), { ...command, signal });
      process.stdout.write(`successfully uploaded to ${uri}\n`);
      return exitCodes.done;
    }
    case 'list': {
      const { storage, path } = await files.place(command.prefix);
      for await (const found of storage.list(path, { signal })) {
        const size = command.long ? `${found.size}\t` : '';
        const line = `${size}${found.path}\n`;
        await new Promise<void>((resolve, reject) => process.stdout.write(line, (error) => (error ? reject(error) : resolve())));
      }
      return exitCodes.done;
    }
    case 'get':
      await download(await files.place(command.path), { ...command, signal });
      return exitCodes.done;
    case 'delete': {
      let code: number = exitCodes.done;
      for (const text of command.paths) {
        const { storage, path, uriOf } = await files.place(text);
        if ((await find(storage, path, signal)) === undefined) code = say(`there is no ${uriOf(path)}`, exitCodes.failed);
        else {
          await storage.delete(path, { signal });
          process.stdout.write(`successfully deleted ${uriOf(path)}\n`);
        }
      }
      return code;
    }
  }
}

function say(message: string, code: number, more = ''): number {
  process.stderr.write(`pgpier userfile: ${message}\n${more === '' ? '' : `${more}\n`}`);
  return code;
}

/** Errors of ours and of PostgreSQL are for reading; of a defect the stack is needed. */
function sentence(error: unknown): string {
  if (error instanceof PgPierError)
    return [error.data.message, error.data.detail, error.data.hint].filter((part) => part !== undefined).join(' · ');
  if (!(error instanceof Error)) return String(error);
  if (error instanceof Refusal) return error.message;
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return error.stack ?? error.message;
  return error.message;
}
