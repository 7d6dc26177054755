/** The direction of imports: server → commands → jobs → catalog → external; anything → protocol, statement, formats, errors.ts. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders that each folder's files may import, beside its own, errors.ts, protocol/, statement/ and formats/. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  server: ['commands', 'catalog', 'jobs', 'external'],
  commands: ['catalog', 'jobs', 'external'],
  catalog: ['external'],
  jobs: ['catalog', 'external'],
  external: [],
  formats: [],
  protocol: [],
  statement: [],
  'errors.ts': ['errors'],
  errors: [],
};
const EVERYBODY_MAY = ['protocol', 'statement', 'formats', 'errors.ts'];
/** Shapes that the layer above owns and the layer below speaks in: types alone, which leave no import at run time. */
const TYPES_BACK: readonly string[] = ['jobs → commands/command.ts', 'external → jobs/task.ts'];
/** These neither do I/O nor have dependencies: no package, no module of Node's but the named. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  protocol: ['node:crypto', 'node:buffer', 'node:util'],
  statement: [],
  formats: ['node:zlib'],
  'errors.ts': [],
  errors: [],
};

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';/gm))
    found.push({ file, target: resolved(file, match[2]!), typeOnly: match[1] !== undefined });
  for (const match of text.matchAll(/(\btypeof\s+|:\s*|[<|(,]\s*|readonly \w+\??: )?\bimport\('([^']+)'\)/g)) {
    const awaited = /await\s*$/.test(text.slice(Math.max(0, match.index - 8), match.index + (match[1]?.length ?? 0)));
    found.push({ file, target: resolved(file, match[2]!), typeOnly: match[1] !== undefined && !awaited });
  }
  return found;
}

const resolved = (file: string, target: string): string =>
  target.startsWith('.') ? relative(root, join(root, dirname(file), target)) : target;
const areaOf = (path: string): string => path.split('/')[0]!;

const files = globSync(`{${Object.keys(ALLOWED).join(',')}}{,/**/*.ts}`, { cwd: root }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);

test('imports are found at all', () => {
  assert.ok(files.length > 30, `only ${files.length} files`);
  assert.ok(imports.some((each) => each.file === 'server/start.ts' && each.target === 'catalog/catalog.ts'));
});

test('every import points along the line from server to external', () => {
  const wrong = imports
    .filter(({ file, target, typeOnly }) => {
      const [from, to] = [areaOf(file), areaOf(target)];
      if (ALLOWED[to] === undefined || from === to) return false;
      // protocol/, statement/ and formats/ know nothing but themselves and the table of errors.
      if (from in PURE) return to !== (from === 'errors.ts' ? 'errors' : 'errors.ts');
      if (EVERYBODY_MAY.includes(to) || ALLOWED[from]!.includes(to)) return false;
      return !(typeOnly && TYPES_BACK.includes(`${from} → ${target}`));
    })
    .map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(wrong, []);
});

test('protocol/, statement/, formats/ and errors.ts use no package and do no I/O', () => {
  const wrong = imports
    .filter(({ file, target }) => {
      const allowed = PURE[areaOf(file)];
      return allowed !== undefined && ALLOWED[areaOf(target)] === undefined && !allowed.includes(target);
    })
    .map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(wrong, []);
});

test('no files import each other in a circle', () => {
  const graph = new Map<string, string[]>();
  for (const { file, target, typeOnly } of imports) if (!typeOnly) graph.set(file, [...(graph.get(file) ?? []), target]);
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
    if (done.has(file) || path.includes(file)) return;
    for (const target of graph.get(file) ?? []) walk(target, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) walk(file, []);
  assert.deepEqual(circles, []);
});

test('the image of docker/Dockerfile holds every folder that the program imports', () => {
  const copied = [...readFileSync(join(root, 'docker/Dockerfile'), 'utf8').matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, sources]) =>
    sources!.split(' '),
  );
  const sent = [...readFileSync(join(root, 'docker/Dockerfile.dockerignore'), 'utf8').matchAll(/^!(\S+)$/gm)].map(([, path]) => path!);
  for (const area of Object.keys(ALLOWED)) {
    assert.ok(copied.includes(area), `COPY ${area}`);
    assert.ok(sent.includes(area), `!${area} in Dockerfile.dockerignore`);
  }
});
