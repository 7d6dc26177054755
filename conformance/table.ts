/** The table of docs/compatibility.md: what was run gets its rows and remarks anew, everything else keeps its own, with its own date. */
import type { Check } from './check.ts';
import type { Row } from './compare.ts';

export interface When {
  /** PostgreSQL's version. */
  readonly server: string;
  readonly date: string;
}

const region = /(<!-- conformance -->\n)[\s\S]*?(<!-- end of conformance -->)/;
const head = '| check | what | PostgreSQL alone | through PgPier | differences | PostgreSQL, date |\n|---|---|---|---|---|---|\n';

/** The page's text with rows and remarks of these checks replaced, in the order of `checks`; of a check that is no more nothing stays. */
export function withRows(page: string, checks: readonly Check[], rows: readonly Row[], { server, date }: When): string {
  const old = region.exec(page)?.[0] ?? '';
  const lines = checks.map((check) => {
    const row = rows.find((each) => each.check === check.name);
    if (row) return { row: rowOf(check, row, `${server}, ${date}`), remarks: remarksOf(check, row) };
    return {
      row: old.split('\n').find((line) => line.startsWith(`| ${check.name} |`)),
      remarks: old.split('\n').filter((line) => line.startsWith(`- ${check.name}: `)),
    };
  });
  const table = head + lines.flatMap(({ row }) => (row === undefined ? [] : [`${row}\n`])).join('');
  const remarks = lines.flatMap((each) => each.remarks.map((line) => `${line}\n`)).join('');
  const absent = checks.filter((_, i) => lines[i]!.row === undefined).map(({ name }) => name);
  const left = absent.length > 0 ? `\nNot run: ${absent.join(', ')}.\n` : '';
  return page.replace(region, (_, start: string, end: string) => `${start}${table}${remarks && `\n${remarks}`}${left}${end}`);
}

function rowOf(check: Check, row: Row, when: string): string {
  const what = check.description.replaceAll('|', '\\|');
  const skipped = row.skipped > 0 ? `, ${row.skipped} skipped` : '';
  const differences = row.differences.length || 'none';
  return `| ${check.name} | ${what} | ${row.passedBare} of ${row.items}${skipped} | ${row.passedPgpier} of ${row.items} | ${differences} | ${when} |`;
}

function remarksOf(check: Check, row: Row): string[] {
  const remarks = [
    ...(check.note ? [check.note()] : []),
    ...(row.failBoth.length > 0 ? [`${row.failBoth.length} fail on PostgreSQL alone and through PgPier alike`] : []),
    ...row.differences.map((each) => `differs: ${each}`),
    ...row.unsteady.map((each) => `left out, as PostgreSQL alone now passes it and now does not: ${each}`),
    ...row.anyRelay.map((each) => `left out, as a TCP relay that only copies bytes makes it differ, too: ${each}`),
  ];
  return remarks.map((remark) => `- ${check.name}: ${remark.replace(/\s+/g, ' ').trim()}`);
}
