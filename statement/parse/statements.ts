/**
 * Every statement of ours by the words it begins with. A new statement is a file of its own and a line here; the hot-path test in
 * `candidate.ts` is made from this list too.
 *
 * A text that begins with such words belongs to us and must be something that no PostgreSQL accepts: test/statement/bare.test.ts
 * sends each to bare servers. `claims` narrows an entry whose words PostgreSQL might take.
 */
import type { Statement } from '../statement.ts';
import { alterExternalConnection } from './alterExternalConnection.ts';
import { backup } from './backup.ts';
import { checkExternalConnection } from './checkExternalConnection.ts';
import { controlJobs } from './controlJobs.ts';
import { createConnection } from './createConnection.ts';
import { createExternalConnection } from './createExternalConnection.ts';
import { dropConnection } from './dropConnection.ts';
import { dropExternalConnection } from './dropExternalConnection.ts';
import { exportInto } from './exportInto.ts';
import { grantCreateConnection, revokeCreateConnection } from './grantCreateConnection.ts';
import { grantOnExternalConnection, isGrantOnExternalConnection } from './grantOnExternalConnection.ts';
import { grantSystem, isGrantSystem } from './grantSystem.ts';
import { notYet } from './notYet.ts';
import type { TokenReader } from './reader.ts';
import { restore } from './restore.ts';
import { isRevokeOnExternalConnection, revokeOnExternalConnection } from './revokeOnExternalConnection.ts';
import { isRevokeSystem, revokeSystem } from './revokeSystem.ts';
import { showBackup } from './showBackup.ts';
import { showBackups } from './showBackups.ts';
import { describeConnection, showConnections } from './showConnections.ts';
import { showCreateExternalConnection } from './showCreateExternalConnection.ts';
import { showExternalConnections } from './showExternalConnections.ts';
import { showGrantsOnExternalConnection, showSystemGrants } from './showGrants.ts';
import { showJobs } from './showJobs.ts';

export interface StatementHead {
  /** Lower-case words, blanks between. The first entry whose words and `claims` fit is taken, so the longer head stands first. */
  readonly head: string;
  /** Looks ahead from the statement's first word; takes nothing. */
  readonly claims?: (reader: TokenReader) => boolean;
  /** Reads the statement from its first word to its end. */
  readonly parse: (reader: TokenReader) => Statement;
}

/** `SHOW jobs.x` is a PostgreSQL setting; plain SHOW JOBS would be one too, but plain names are PostgreSQL's own and none is so called. */
const isNoDottedSetting = (reader: TokenReader): boolean => reader.symbol(2) !== '.';
/** `SHOW job` alone is incomplete as ours and well-formed as PostgreSQL's. */
const hasOperand = (reader: TokenReader): boolean => reader.token(2) !== undefined && isNoDottedSetting(reader);
/** `@stage/path`, or the quoted spelling for drivers that take @ for a parameter. */
const namesStage = (reader: TokenReader): boolean => reader.symbol(1).startsWith('@') || reader.token(1)?.kind === 'string';

const jobHeads = (['pause', 'resume', 'cancel'] as const).flatMap((verb) => [
  ...['job', 'jobs', 'all'].map((object): StatementHead => ({ head: `${verb} ${object}`, parse: controlJobs(verb) })),
  ...['schedule', 'schedules'].map(
    (object): StatementHead => ({ head: `${verb} ${object}`, parse: notYet(`${verb} schedules`.toUpperCase()) }),
  ),
]);

export const statementHeads: readonly StatementHead[] = [
  { head: 'create external table', parse: notYet('CREATE EXTERNAL TABLE') },
  // PostgreSQL has nothing that begins with CREATE EXTERNAL: a mistake in the third word stays with us, and so does the URI behind it.
  { head: 'create external', parse: createExternalConnection },
  { head: 'create or replace external', parse: createExternalConnection },
  { head: 'alter external', parse: alterExternalConnection },
  { head: 'drop external', parse: dropExternalConnection },
  { head: 'check external connection', parse: checkExternalConnection },
  { head: 'show external connections', parse: showExternalConnections },
  { head: 'show external connection', parse: showExternalConnections },
  { head: 'show create all external connections', parse: showCreateExternalConnection },
  { head: 'show create external connection', parse: showCreateExternalConnection },

  { head: 'grant create connection', parse: grantCreateConnection },
  { head: 'revoke create connection', parse: revokeCreateConnection },
  { head: 'grant', claims: isGrantOnExternalConnection, parse: grantOnExternalConnection },
  { head: 'grant', claims: isGrantSystem, parse: grantSystem },
  { head: 'revoke', claims: isRevokeOnExternalConnection, parse: revokeOnExternalConnection },
  { head: 'revoke', claims: isRevokeSystem, parse: revokeSystem },
  { head: 'show grants on external connection', parse: showGrantsOnExternalConnection },
  { head: 'show grants on connection', parse: showGrantsOnExternalConnection },
  { head: 'show system grants', parse: showSystemGrants },
  { head: 'show grants', claims: isNoDottedSetting, parse: notYet('SHOW GRANTS without ON EXTERNAL CONNECTION') },

  { head: 'export', parse: exportInto },
  { head: 'import into', parse: notYet('IMPORT INTO') },

  { head: 'backup', parse: backup },
  { head: 'restore', parse: restore },
  { head: 'show backups', claims: hasOperand, parse: showBackups },
  { head: 'show backup', claims: hasOperand, parse: showBackup },

  { head: 'create schedule', parse: notYet('CREATE SCHEDULE') },
  { head: 'alter schedule', parse: notYet('ALTER SCHEDULE') },
  { head: 'alter backup schedule', parse: notYet('ALTER BACKUP SCHEDULE') },
  { head: 'drop schedule', parse: notYet('DROP SCHEDULE') },
  { head: 'drop schedules', parse: notYet('DROP SCHEDULES') },
  { head: 'show schedules', claims: isNoDottedSetting, parse: notYet('SHOW SCHEDULES') },
  { head: 'show running schedules', parse: notYet('SHOW SCHEDULES') },
  { head: 'show paused schedules', parse: notYet('SHOW SCHEDULES') },
  { head: 'show schedule', claims: hasOperand, parse: notYet('SHOW SCHEDULE') },
  { head: 'show create schedule', parse: notYet('SHOW CREATE SCHEDULE') },
  { head: 'show create all schedules', parse: notYet('SHOW CREATE ALL SCHEDULES') },

  { head: 'create changefeed', parse: notYet('CREATE CHANGEFEED') },
  { head: 'alter changefeed', parse: notYet('ALTER CHANGEFEED') },
  { head: 'experimental changefeed', parse: notYet('EXPERIMENTAL CHANGEFEED') },
  { head: 'show changefeed jobs', parse: notYet('SHOW CHANGEFEED JOBS') },
  { head: 'show changefeed job', parse: notYet('SHOW CHANGEFEED JOB') },

  { head: 'show jobs', claims: isNoDottedSetting, parse: showJobs },
  { head: 'show automatic jobs', parse: notYet('SHOW AUTOMATIC JOBS') },
  { head: 'show job', claims: hasOperand, parse: showJobs },
  ...jobHeads,

  { head: 'create connection', parse: createConnection },
  { head: 'create or replace connection', parse: createConnection },
  { head: 'alter connection', parse: notYet('ALTER CONNECTION') },
  { head: 'drop connection', parse: dropConnection },
  { head: 'show connections', claims: isNoDottedSetting, parse: showConnections },
  { head: 'desc connection', parse: describeConnection },
  { head: 'describe connection', parse: describeConnection },

  { head: 'create stage', parse: notYet('CREATE STAGE') },
  { head: 'create or replace stage', parse: notYet('CREATE STAGE') },
  { head: 'alter stage', parse: notYet('ALTER STAGE') },
  { head: 'drop stage', parse: notYet('DROP STAGE') },
  { head: 'show stages', claims: isNoDottedSetting, parse: notYet('SHOW STAGES') },
  { head: 'desc stage', parse: notYet('DESC STAGE') },
  { head: 'describe stage', parse: notYet('DESC STAGE') },
  { head: 'list', claims: namesStage, parse: notYet('LIST') },
  { head: 'remove', claims: namesStage, parse: notYet('REMOVE') },
  { head: 'presign', parse: notYet('PRESIGN') },

  { head: 'copy into', parse: notYet('COPY INTO') },
  { head: 'attach table', parse: notYet('ATTACH TABLE') },
];

const byFirstWord = Map.groupBy(
  statementHeads.map((entry) => ({ entry, words: entry.head.split(' ') })),
  ({ words }) => words[0]!,
);

/** Whether any statement of ours begins with this folded word. */
export const isFirstWord = (word: string): boolean => byFirstWord.has(word);

/** The entry that a statement belongs to; undefined if it is none of ours. */
export function findHead(reader: TokenReader): StatementHead | undefined {
  const found = byFirstWord
    .get(reader.word())
    ?.find(({ entry, words }) => words.every((word, ahead) => reader.word(ahead) === word) && (entry.claims?.(reader) ?? true));
  return found?.entry;
}

const showInBrackets: StatementHead = { head: '[', parse: notYet('[SHOW …] in the place of a table') };
const shown: ReadonlySet<string> = new Set(
  statementHeads.filter(({ head }) => head.startsWith('show ')).map(({ head }) => head.split(' ')[1]!),
);

/**
 * `[SHOW JOBS]` and its like in the place of a table, wherever it stands. In PostgreSQL `[` begins a subscript or an array, and in neither may the name
 * `show` have a second name behind it.
 */
export function findShowInBrackets(reader: TokenReader): StatementHead | undefined {
  for (let ahead = 0; reader.token(ahead) !== undefined; ahead++) {
    if (reader.symbol(ahead) === '[' && reader.word(ahead + 1) === 'show' && shown.has(reader.word(ahead + 2))) return showInBrackets;
  }
  return undefined;
}
