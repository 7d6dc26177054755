/** pgbench in every query mode, with a connection for each transaction, and in pipelines; its own invariant holds afterwards. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Item } from '../check.ts';
import { ended, missingProgram, run, sql } from '../programs.ts';

const pipeline = `\\set aid random(1, 100000)
\\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance - 1 WHERE aid = :aid;
END;
\\endpipeline
`;

export const pgbench: Check = {
  name: 'pgbench',
  description: 'pgbench -M simple, extended, prepared, with -C, and in pipelines; balances agree afterwards',
  missing: () => missingProgram('pgbench', 'psql'),
  async run(endpoint) {
    const items: Item[] = [ended('initialise', await run(endpoint, 'pgbench', ['-i', '-q', '-s', '1']))];
    const work = ['-c', '4', '-j', '2', '-t', '100', '-n'];
    for (const mode of ['simple', 'extended', 'prepared']) {
      const result = await run(endpoint, 'pgbench', [...work, '-M', mode]);
      items.push(ended(`-M ${mode}`, result, processed(result.out)));
    }
    const reconnecting = await run(endpoint, 'pgbench', ['-c', '2', '-t', '20', '-n', '-C']);
    items.push(ended('-C', reconnecting, processed(reconnecting.out)));
    const script = join(endpoint.directory, 'pipeline.sql');
    writeFileSync(script, pipeline);
    for (const mode of ['extended', 'prepared']) {
      const result = await run(endpoint, 'pgbench', [...work, '-M', mode, '-f', script]);
      items.push(ended(`pipeline -M ${mode}`, result, processed(result.out)));
    }
    const sums = await sql(
      endpoint,
      `select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
        (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history), count(*) from pgbench_history;`,
    );
    return [...items, ended('balances', sums, sums.out)];
  },
};

/** `number of transactions actually processed: 400/400` and how many failed. */
function processed(out: string): string {
  return [...out.matchAll(/^number of (transactions actually processed|failed transactions): (\S+)/gm)].map((match) => match[0]).join('\n');
}
