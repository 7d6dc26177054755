/** What DROP says about what depends on a connection. */

import type { ExternalConnection } from '../catalog/connections.ts';
import { type Dependants, dependantsOf } from '../catalog/dependants.ts';
import { PgPierError } from '../errors.ts';
import type { CommandContext } from './command.ts';

const mostLines = 20;

/** Call it with the name locked. Throws `connectionInUse` where RESTRICT was said and something depends on it; else a NOTICE tells of it. */
export async function tellDependants(context: CommandContext, connection: ExternalConnection, restrict: boolean): Promise<void> {
  const { shown, hidden } = await dependantsOf(context.catalog, connection);
  const count = shown.length + hidden;
  if (count === 0) return;
  const detail = inLines({ shown, hidden }, connection.name);
  if (restrict) throw new PgPierError('connectionInUse', { name: connection.name }, { detail });
  const message = `external connection ${connection.name} is dropped although ${count === 1 ? '1 other object depends' : `${count} other objects depend`} on it`;
  context.notice({ severity: 'NOTICE', sqlstate: '00000', message, detail, hint: 'They fail when they next need it.' });
}

function inLines({ shown, hidden }: Dependants, name: string): string {
  const lines = shown.slice(0, mostLines).map((each) => `${each} depends on external connection ${name}`);
  const unlisted = shown.length - lines.length;
  if (unlisted > 0) lines.push(`and ${unlisted} more`);
  if (hidden > 0) lines.push(`${hidden} of other roles, which you may not see`);
  return lines.join('\n');
}
