/**
 * Random walks over the protocol: messages in orders that no driver sends, each with the line that bare PostgreSQL gets
 * in its place. Statements of ours are stood in for by PostgreSQL statements that reply alike (same columns, same kind
 * of failure); `normalise` removes what must differ.
 */
export type WalkStep =
  | { readonly kind: 'message'; readonly bare: string; readonly proxied: string }
  /** Lines that bring the session where `when` says, whatever was before; the cancel request goes out then. */
  | { readonly kind: 'cancel'; readonly when: 'idle' | 'sleeping'; readonly lines: readonly string[] };

/** Out of whatever state it is in. */
const settle = ['c', 'S', 'S', 'Q "rollback"'];

/** What is sent behind each walk, to a sign that all replies have come. */
export const endOfWalk = { lines: [...settle, 'Q "select \'end of walk\'"'], lastRow: 'D ("end of walk")' };

/** So that what is cancelled is the same on both sides: a session that certainly waits for its client, or certainly sleeps. */
const CANCELS: readonly WalkStep[] = [
  { kind: 'cancel', when: 'idle', lines: [...settle, 'Q "select \'idle\'"'] },
  { kind: 'cancel', when: 'sleeping', lines: [...settle, 'Q "select pg_sleep(60)"'] },
  { kind: 'cancel', when: 'sleeping', lines: [...settle, 'Q "begin"', 'Q "select 1; select pg_sleep(60); select 2"'] },
  { kind: 'cancel', when: 'sleeping', lines: [...settle, 'P "" "select 1, pg_sleep(60)"', 'B "" "" []', 'E "" 0', 'H'] },
  {
    kind: 'cancel',
    when: 'sleeping',
    lines: [...settle, 'Q "begin"', 'P "" "select 1, pg_sleep(60)"', 'B "" "" []', 'E "" 0', 'S', 'Q "select 3"'],
  },
];

/** `query`: what stands in for it in a Query, where that is another text. */
type Text = string | { readonly bare: string; readonly own: string; readonly query?: string };

/** An empty result with the columns of SHOW EXTERNAL CONNECTIONS; the catalog is empty while walks run. */
const show: Text = {
  own: 'show external connections',
  bare: 'select null::text as connection_name, null::text as connection_uri, null::text as connection_type where false',
};
/**
 * Fails when it is executed, not before, with the SQLSTATE that a missing connection has. In a Query ours fails as one that names
 * something unknown: before it is described, and before it becomes the unnamed portal.
 */
const missing: Text = {
  own: 'show external connection nothing',
  query: 'select null::pgpier_missing',
  bare: "select current_setting('pgpier.missing') as connection_name, null::text as connection_uri, null::text as connection_type",
};
const drop: Text = { own: 'drop external connection nothing', bare: 'reset pgpier.void' };
const typo: Text = { own: 'create external connection x as as', bare: 'create externality' };

const OWN: readonly Text[] = [show, show, missing, drop, typo];

const SIMPLE: readonly Text[] = [
  'select 1 as one',
  'select 1; select 2',
  'select 1/0',
  'selec',
  '',
  'begin',
  'begin',
  'commit',
  'rollback',
  'savepoint s',
  'rollback to s',
  "insert into t values (1, 'a')",
  'select count(*) from t',
  'deallocate all',
  'select i from generate_series(1, 5) i',
  "set application_name = 'walk'",
  'copy (select 1) to stdout',
];

const PARSED: readonly Text[] = [
  'select 1 as one',
  'select $1::int as n',
  'select 4 as four',
  "select 'text' as word",
  'select i from generate_series(1, 5) i',
  'select 1/0',
  'selec',
  '',
  'begin',
  'commit',
  'rollback',
  "insert into t values (1, 'a')",
  'reset work_mem',
  'copy (select 1) to stdout',
];

export function randomWalk(random: () => number, length: number, withOwn: boolean): WalkStep[] {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const text = (items: readonly Text[]): Text => (withOwn && random() < 0.4 ? pick(OWN) : pick(items));
  const steps: WalkStep[] = [];
  const both = (line: string) => steps.push({ kind: 'message', bare: line, proxied: line });
  const worded = (letter: string, words: Text, tail = '') => {
    const [text, own] = typeof words === 'string' ? [words, words] : [words.bare, words.own];
    const bare = letter === 'Q' && typeof words !== 'string' ? (words.query ?? text) : text;
    steps.push({ kind: 'message', bare: `${letter} ${JSON.stringify(bare)}${tail}`, proxied: `${letter} ${JSON.stringify(own)}${tail}` });
  };
  const names = ['""', '""', 's1', 's2'];
  const portals = ['""', '""', 'p1'];
  const bind = (portal: string, name: string) =>
    both(`B ${portal} ${name} ${random() < 0.1 ? '["7"]' : '[]'} [] ${pick(['[]', '[]', '[0]', '[1]'])}`);
  const moves: [number, () => void][] = [
    [4, () => worded('Q', text(SIMPLE))],
    [
      6,
      () => {
        // Mostly in the order that makes sense, or most walks would be nothing but unknown names.
        const name = pick(names);
        const portal = pick(portals);
        if (name !== '""' && random() < 0.7) both(`C S ${name}`);
        worded(`P ${name}`, text(PARSED));
        if (random() < 0.3) both(`D S ${name}`);
        if (random() < 0.8) bind(portal, name);
        if (random() < 0.3) both(`D P ${portal}`);
        if (random() < 0.8) both(`E ${portal} ${pick([0, 0, 1, 2])}`);
        if (random() < 0.5) both(`E ${portal} ${pick([0, 1, 2])}`);
      },
    ],
    [2, () => bind(pick(portals), pick(names))],
    [2, () => both(`D S ${pick(names)}`)],
    [2, () => both(`D P ${pick(portals)}`)],
    [2, () => both(`E ${pick(portals)} ${pick([0, 0, 1, 2])}`)],
    [1, () => both(`C S ${pick(names)}`)],
    [1, () => both(`C P ${pick(portals)}`)],
    [4, () => both('S')],
    [2, () => both('H')],
    [1, () => both('F 1257 ["abc"] 0')],
    // A whole plain call, as drivers make it: without these most walks would be nothing but errors.
    [
      5,
      () => {
        worded('P ""', text(PARSED));
        both('B "" "" []');
        if (random() < 0.7) both('D P ""');
        both('E "" 0');
        both('S');
      },
    ],
    [
      1,
      () => {
        worded('Q', 'copy t from stdin');
        both('d "7\\tx\\n"');
        if (random() < 0.3) both('d "oops\\n"');
        both(random() < 0.8 ? 'c' : 'f "no"');
      },
    ],
    [
      1,
      () => {
        worded('P ""', 'copy t from stdin');
        both('B "" "" []');
        both('E "" 0');
        both('d "8\\tx\\n"');
        both('c');
      },
    ],
    [1, () => both(pick(['d "late\\n"', 'c', 'f "late"']))],
    [0.5, () => steps.push(pick(CANCELS))],
  ];
  const total = moves.reduce((sum, [weight]) => sum + weight, 0);
  while (steps.length < length) {
    let at = random() * total;
    for (const [weight, move] of moves) {
      at -= weight;
      if (at < 0) {
        move();
        break;
      }
    }
  }
  return steps;
}

/** Makes a stand-in's reply and ours the same: tags, the notice of a missing name, and the words of errors with these SQLSTATEs. */
export function normalise(lines: readonly string[]): string[] {
  return lines
    .filter((line) => !/^N NOTICE \S+ "external connection/.test(line))
    .map((line) =>
      line.replace(/^C (SHOW.*|SELECT 0|RESET|DROP EXTERNAL CONNECTION)$/, 'C own').replace(/^E ERROR (42704|42601) .*/, 'E ERROR $1'),
    );
}
