/** SHOW BACKUPS IN: the finished backups of a collection, oldest first; what is not finished is named in notices. */
import { PgPierError } from '../errors.ts';
import { shownFolder, type UnfinishedBackup } from '../jobs/backup/collection.ts';
import type { StringOrParameter } from '../statement/statement.ts';
import { readBackupTime } from './backupTime.ts';
import type { Command, CommandContext, Notice } from './command.ts';
import { collectionOf, recorded, useOf } from './outside.ts';

export const destinationPrivilege = 'USAGE on the connection, or EXTERNALIOIMPLICITACCESS for other URIs that need it';

export const showBackups: Command<'showBackups'> = {
  kind: 'showBackups',
  statement: 'SHOW BACKUPS',
  columns: [{ name: 'path', type: 'text' }],
  privilege: destinationPrivilege,
  nature: 'read',
  async run(context, { uri, newerThan, olderThan }) {
    const newer = bound(context, 'NEWER THAN', newerThan);
    const older = bound(context, 'OLDER THAN', olderThan);
    const { target, resolve } = await collectionOf(context, context.text(uri), 'SHOW BACKUPS');
    const { finished, unfinished } = await recorded(context, useOf('SHOW BACKUPS', target), (options) =>
      context.workers.run(
        {
          kind: 'showBackups',
          target,
          ...(newer === undefined ? {} : { newerThan: newer }),
          ...(older === undefined ? {} : { olderThan: older }),
        },
        { ...options, resolve },
      ),
    );
    for (const notice of noticesOf(unfinished)) context.notice(notice);
    return { rows: finished.map((folder) => [shownFolder(folder)]), tag: 'SHOW' };
  },
};

/** Milliseconds since 1970. */
function bound(context: CommandContext, clause: string, value: StringOrParameter | undefined): number | undefined {
  if (value === undefined) return undefined;
  const time = readBackupTime(context.text(value), new Date(), context.asker.settings.TimeZone ?? 'UTC');
  if (time === undefined) throw new PgPierError('backupTimeInvalid', { clause });
  return time.getTime();
}

const mostNotices = 10;

function noticesOf(unfinished: readonly UnfinishedBackup[]): readonly Notice[] {
  const notices = unfinished.slice(-mostNotices).map(({ folder, jobId }): Notice => {
    const message = `${shownFolder(folder)} holds no finished backup`;
    if (jobId === undefined)
      return { severity: 'NOTICE', sqlstate: '00000', message, hint: 'Delete the folder if nobody is writing there.' };
    const detail = `Job ${jobId} is writing it, or ended early.`;
    return {
      severity: 'NOTICE',
      sqlstate: '00000',
      message,
      detail,
      hint: `SHOW JOB ${jobId} tells, on the PgPier that writes there. If the job has ended, delete the folder.`,
    };
  });
  const more = unfinished.length - notices.length;
  return more === 0
    ? notices
    : [{ severity: 'NOTICE', sqlstate: '00000', message: `${more} older folders hold no finished backup either` }, ...notices];
}
