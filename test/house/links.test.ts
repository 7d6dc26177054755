/** Links in the pages of the repository lead to files that are there, and to sections that are there. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = globSync('**/*.md', { cwd: root, exclude: (name) => /^(node_modules|build|\.git)$/.test(name) });

/** As GitHub makes them of titles. */
function anchorsOf(page: string): ReadonlySet<string> {
  const titles = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!);
  return new Set(
    titles.map((title) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

test('each link in a page leads somewhere', () => {
  let seen = 0;
  const broken = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8');
    // Code is not read: an example may look like a link.
    const prose = text.replaceAll(/^```.*?^```/gms, '').replaceAll(/`[^`\n]*`/g, '`');
    return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => {
        if (/^[a-z]+:/.test(link)) return false;
        seen++;
        const [file, anchor] = link.split('#') as [string, string?];
        const target = file === '' ? join(root, page) : join(root, dirname(page), file);
        return !existsSync(target) || (anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).has(anchor));
      })
      .map((link) => `${page}: ${link}`);
  });
  assert.deepEqual(broken, []);
  assert.ok(seen > 50, `${seen} links`);
});
