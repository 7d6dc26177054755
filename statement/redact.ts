/** A statement of ours for logs and job descriptions: its words and names, never a URI, an option's value or a query. */
import type {
  BackupReference,
  BackupTargets,
  ControlJobsStatement,
  PrivilegeList,
  RoleSpecification,
  Statement,
  StringOrParameter,
} from './statement.ts';

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A name as SQL; one that looks like a URI was put in the wrong place and may hold a secret. */
function nameText(name: StringOrParameter | string): string {
  if (typeof name !== 'string') return name.kind === 'parameter' ? `$${name.number}` : nameText(name.value);
  return /[:/?=]/.test(name) ? '***' : quoted(name);
}

const names = (list: readonly string[]): string => list.map(nameText).join(', ');

function roleText(role: RoleSpecification): string {
  if (role.kind === 'role') return quoted(role.name);
  return { public: 'PUBLIC', currentUser: 'CURRENT_USER', sessionUser: 'SESSION_USER' }[role.kind];
}

const roles = (list: readonly RoleSpecification[]): string => list.map(roleText).join(', ');
const forRoles = (list: readonly RoleSpecification[] | undefined): string => (list ? ` FOR ${roles(list)}` : '');
const privileges = (list: PrivilegeList): string => (list === 'all' ? 'ALL' : list.join(', '));

function targets(list: BackupTargets): string {
  if (list.kind === 'database') return `DATABASE ${names(list.databases)}`;
  const patterns = list.patterns.map(({ names, all }) => [...names.map(nameText), ...(all ? ['*'] : [])].join('.'));
  return `TABLE ${patterns.join(', ')}`;
}

/** A folder's name is no secret if it looks like one; anything else was meant to be something else. */
function reference(from: BackupReference): string {
  if (from.kind === 'latest') return 'LATEST';
  if (from.path.kind === 'parameter') return `$${from.path.number}`;
  return /^[\d/.-]{1,40}$/.test(from.path.value) ? `'${from.path.value}'` : '***';
}

const jobs = (list: readonly StringOrParameter[]): string =>
  list.map((job) => (job.kind === 'parameter' ? `$${job.number}` : /^\d{1,19}$/.test(job.value) ? job.value : '***')).join(', ');
const controlJobs = (verb: string, statement: ControlJobsStatement): string => `${verb} JOBS ${jobs(statement.jobs)}`;

const changes = { uri: 'AS ***', setFallback: 'SET FALLBACK ***', dropFallback: 'DROP FALLBACK' } as const;

/** One line of text that may be written to a log. */
export function describeStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'createExternalConnection':
      return `CREATE EXTERNAL CONNECTION ${statement.ifNotExists ? 'IF NOT EXISTS ' : ''}${nameText(statement.name)} AS ***`;
    case 'alterExternalConnection':
      return `ALTER EXTERNAL CONNECTION ${statement.ifExists ? 'IF EXISTS ' : ''}${nameText(statement.name)} ${changes[statement.change.kind]}`;
    case 'checkExternalConnection':
      return 'CHECK EXTERNAL CONNECTION ***';
    case 'dropExternalConnection':
      return `DROP EXTERNAL CONNECTION ${nameText(statement.name)}${statement.restrict ? ' RESTRICT' : ''}`;
    case 'createConnection': {
      const words = `CREATE ${statement.orReplace ? 'OR REPLACE ' : ''}CONNECTION ${statement.ifNotExists ? 'IF NOT EXISTS ' : ''}`;
      return `${words}${nameText(statement.name)} ***`;
    }
    case 'dropConnection':
      return `DROP CONNECTION ${statement.ifExists ? 'IF EXISTS ' : ''}${nameText(statement.name)}${statement.restrict ? ' RESTRICT' : ''}`;
    case 'showConnections':
      return 'SHOW CONNECTIONS';
    case 'describeConnection':
      return `DESC CONNECTION ${nameText(statement.name)}`;
    case 'showExternalConnections':
      return 'SHOW EXTERNAL CONNECTIONS';
    case 'showExternalConnection':
      return `SHOW EXTERNAL CONNECTION ${nameText(statement.name)}`;
    case 'showConnectionUsage':
      return statement.name === undefined
        ? 'SHOW EXTERNAL CONNECTIONS USAGE'
        : `SHOW EXTERNAL CONNECTION ${nameText(statement.name)} USAGE`;
    case 'showCreateAllExternalConnections':
      return 'SHOW CREATE ALL EXTERNAL CONNECTIONS';
    case 'showCreateExternalConnection':
      return `SHOW CREATE EXTERNAL CONNECTION ${nameText(statement.name)}`;
    case 'grantSystem':
      return `GRANT SYSTEM ${privileges(statement.privileges)} TO ${roles(statement.grantees)}${statement.withGrantOption ? ' WITH GRANT OPTION' : ''}`;
    case 'revokeSystem':
      return `REVOKE ${statement.grantOptionFor ? 'GRANT OPTION FOR ' : ''}SYSTEM ${privileges(statement.privileges)} FROM ${roles(statement.grantees)}`;
    case 'grantOnExternalConnection':
      return `GRANT ${privileges(statement.privileges)} ON EXTERNAL CONNECTION ${names(statement.connections)} TO ${roles(statement.grantees)}${statement.withGrantOption ? ' WITH GRANT OPTION' : ''}`;
    case 'revokeOnExternalConnection':
      return `REVOKE ${statement.grantOptionFor ? 'GRANT OPTION FOR ' : ''}${privileges(statement.privileges)} ON EXTERNAL CONNECTION ${names(statement.connections)} FROM ${roles(statement.grantees)}`;
    case 'showGrantsOnExternalConnection':
      return `SHOW GRANTS ON EXTERNAL CONNECTION ${names(statement.connections)}${forRoles(statement.grantees)}`;
    case 'showSystemGrants':
      return `SHOW SYSTEM GRANTS${forRoles(statement.grantees)}`;
    case 'exportIntoCsv': {
      const options = statement.options.map(({ name }) => nameText(name)).join(', ');
      return `EXPORT INTO CSV ***${options === '' ? '' : ` WITH ${options}`} FROM ***`;
    }
    case 'backup':
    case 'backupDetached':
      return `BACKUP ${targets(statement.targets)} INTO ***${statement.kind === 'backup' ? '' : ' WITH detached'}`;
    case 'restore':
    case 'restoreDetached': {
      const detached = statement.kind === 'restore' ? '' : ' WITH detached';
      return `RESTORE ${targets(statement.targets)} FROM ${reference(statement.from)} IN ***${detached}`;
    }
    case 'showBackups':
      return 'SHOW BACKUPS IN ***';
    case 'showBackup':
      return `SHOW BACKUP ${statement.schemas ? 'SCHEMAS ' : ''}FROM ${reference(statement.from)} IN ***`;
    case 'showJobs':
      return 'SHOW JOBS';
    case 'showJob':
      return `SHOW JOB ${jobs([statement.job])}`;
    case 'showJobWhenComplete':
      return `SHOW JOBS WHEN COMPLETE ${jobs(statement.jobs)}`;
    case 'pauseJobs':
      return controlJobs('PAUSE', statement);
    case 'resumeJobs':
      return controlJobs('RESUME', statement);
    case 'cancelJobs':
      return controlJobs('CANCEL', statement);
    case 'notYet':
      return statement.what;
  }
}
