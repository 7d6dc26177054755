/** The least part of a failing walk that still fails (Zeller's delta debugging), and that part as a wire script. */
import type { WalkStep } from './walk.ts';

/** @param fails runs the steps again on both sides */
export async function reduce(steps: readonly WalkStep[], fails: (steps: readonly WalkStep[]) => Promise<boolean>): Promise<WalkStep[]> {
  let left = [...steps];
  for (let size = Math.ceil(left.length / 2); size >= 1; ) {
    let removed = false;
    for (let at = 0; at < left.length; ) {
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      if (await fails(without)) {
        left = without;
        removed = true;
      } else at += size;
    }
    if (size === 1 && !removed) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return left;
}

/** In the format of `scripts/`. A cancel has no line there: it stays a comment. */
export function asScript(title: string, steps: readonly WalkStep[], tail: readonly string[]): string {
  const lines = steps.flatMap((step) =>
    step.kind === 'message' ? [`> ${step.proxied}`] : [...step.lines.map((line) => `> ${line}`), `# cancel, while ${step.when}`],
  );
  return [`## ${title}`, ...lines, ...tail.map((line) => `> ${line}`), '< Z', ''].join('\n');
}
