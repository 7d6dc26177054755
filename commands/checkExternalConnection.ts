/** CHECK EXTERNAL CONNECTION: what a storage does with real bytes, a key with a text, a sink with a message; one that fails is a row too (spec: §1.8). */
import { PgPierError } from '../errors.ts';
import { providerOf, resolveKeyService, resolveSink } from '../jobs/destination.ts';
import type { CheckConnectionTask, CheckedConnection, TaskOptions, Transferred } from '../jobs/task.ts';
import type { Value } from '../protocol/values.ts';
import type { StringOrParameter } from '../statement/statement.ts';
import { byteSizeInWords, readByteSize } from './byteSize.ts';
import type { Command, CommandContext } from './command.ts';
import { recorded, storageOf, useOf } from './outside.ts';
import { destinationPrivilege } from './showBackups.ts';

const defaultTransfer = 32 * 1024 * 1024;
const mostTransfer = 64 * 1024 ** 3;
const mostRuns = 64;
const mostMilliseconds = 24 * 3_600_000;

export const checkExternalConnection: Command<'checkExternalConnection'> = {
  kind: 'checkExternalConnection',
  statement: 'CHECK EXTERNAL CONNECTION',
  columns: [
    { name: 'node', type: 'int8' },
    { name: 'locality', type: 'text' },
    { name: 'ok', type: 'bool' },
    { name: 'error', type: 'text' },
    { name: 'transferred', type: 'text' },
    { name: 'read_speed', type: 'text' },
    { name: 'write_speed', type: 'text' },
    { name: 'can_delete', type: 'bool' },
  ],
  privilege: destinationPrivilege,
  nature: 'read',
  async run(context, { uri, transfer, time, concurrently }) {
    const size = option(context, 'transfer', transfer, readTransfer) ?? defaultTransfer;
    const milliseconds = option(context, 'time', time, readDuration) ?? 0;
    const runs = option(context, 'concurrently', concurrently, readRuns) ?? 1;
    const { place, resolve } = await placeOf(context, context.text(uri), size, milliseconds);
    let last: Transferred | undefined;
    const checked = await recorded(
      context,
      useOf('CHECK EXTERNAL CONNECTION', place.target),
      (options) => {
        const onTransferred = (transferred: Transferred): void => {
          last = transferred;
          options.onTransferred?.(transferred);
        };
        const all = { ...options, onTransferred, ...(resolve && { resolve }) };
        return Promise.all(Array.from({ length: runs }, () => check(context, place, all)));
      },
      (results) => (results.some(({ kind }) => kind === 'failed') ? 'failed' : 'succeeded'),
    );
    if (place.kind === 'storage' && place.target.fallback !== undefined && last !== undefined) {
      const message = `the ${last.credentials} set of credentials of external connection ${place.target.connection!.name} was used`;
      context.notice({ severity: 'NOTICE', sqlstate: '00000', message });
    }
    return { rows: checked.map(rowOf), tag: 'CHECK' };
  },
};

/** What the URI leads to, for which the asker has the right. */
async function placeOf(context: CommandContext, text: string, size: number, milliseconds: number): Promise<Place> {
  const found = await providerOf(context, text);
  switch (found?.kind) {
    case 'keyService':
      return { place: { kind: 'keyService', target: await resolveKeyService(context, text) } };
    case 'sink':
      return { place: { kind: 'sink', target: await resolveSink(context, text) } };
    default: {
      const { target, resolve } = await storageOf(context, text);
      return { place: { kind: 'storage', target, size, milliseconds }, resolve };
    }
  }
}

interface Place {
  readonly place: CheckConnectionTask['place'];
  readonly resolve?: TaskOptions['resolve'];
}

async function check(context: CommandContext, place: CheckConnectionTask['place'], options: TaskOptions): Promise<CheckedConnection> {
  const checked = await context.workers.run({ kind: 'checkConnection', place }, options);
  if (checked.kind === 'answered') context.notice({ severity: 'NOTICE', sqlstate: '00000', message: checked.found });
  if (checked.kind === 'measured' && checked.left.length > 0) {
    context.notice({
      severity: 'NOTICE',
      sqlstate: '01000',
      message: `${checked.left.length === 1 ? 'a file' : `${checked.left.length} files`} could not be deleted: ${checked.left.slice(0, 3).join(', ')}${checked.left.length > 3 ? ', …' : ''}`,
      hint: 'Backups and exports need no right to delete; without it what fails half way stays there.',
    });
  }
  return checked;
}

function rowOf(checked: CheckedConnection): readonly Value[] {
  const { node } = checked;
  if (checked.kind === 'failed') return [node, '', false, checked.error, null, null, null, null];
  // A key and a sink have no speed, and nothing to delete.
  if (checked.kind === 'answered') return [node, '', true, null, byteSizeInWords(checked.bytes), null, null, null];
  const { transferred, readMilliseconds, writeMilliseconds, canDelete } = checked;
  const speed = (milliseconds: number): string => `${byteSizeInWords(transferred / Math.max(milliseconds / 1000, 1e-6))}/s`;
  return [node, '', true, null, byteSizeInWords(transferred), speed(readMilliseconds), speed(writeMilliseconds), canDelete];
}

/** @param read undefined for what cannot be read; its words say what can be */
function option(
  context: CommandContext,
  name: string,
  value: StringOrParameter | undefined,
  read: { (text: string): number | undefined; words: string },
): number | undefined {
  if (value === undefined) return undefined;
  const number = read(context.text(value));
  if (number === undefined) throw new PgPierError('invalidOptionValue', { option: name, reason: read.words });
  return number;
}

function readTransfer(text: string): number | undefined {
  const bytes = readByteSize(text);
  return bytes !== undefined && bytes <= mostTransfer ? bytes : undefined;
}
readTransfer.words = "it must be a size up to 64 GiB, such as '64MiB'";

function readRuns(text: string): number | undefined {
  const runs = /^\s*\d{1,3}\s*$/.test(text) ? Number(text) : 0;
  return runs >= 1 && runs <= mostRuns ? runs : undefined;
}
readRuns.words = `it must be a whole number from 1 to ${mostRuns}`;

const unitMilliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `10s`, `1m30s`, `1.5h`, as Go writes durations; a plain number is seconds. */
function readDuration(text: string): number | undefined {
  const plain = text.trim();
  if (/^\d{1,6}(\.\d+)?$/.test(plain)) return inBounds(Number(plain) * 1000);
  if (!/^(\d{1,6}(\.\d+)?(ms|s|m|h))+$/.test(plain)) return undefined;
  let sum = 0;
  for (const [, number, , unit] of plain.matchAll(/(\d+(\.\d+)?)(ms|s|m|h)/g)) sum += Number(number) * unitMilliseconds[unit!]!;
  return inBounds(sum);
}
readDuration.words = "it must be a time up to 24 hours, such as '10s' or '1m30s'";

const inBounds = (milliseconds: number): number | undefined => (milliseconds <= mostMilliseconds ? milliseconds : undefined);
