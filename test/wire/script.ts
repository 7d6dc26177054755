/**
 * Wire scripts: what a client sends and up to where it reads. README.md has the format.
 *
 * A script without `=` lines is compared with bare PostgreSQL; one with them states what PgPier answers and runs
 * through it only.
 */
import { encodeLine } from './encode.ts';
import { type Cutter, type Endpoint, WireSession, whole } from './wireSession.ts';

type Step =
  | { readonly kind: 'send'; readonly session: string; readonly bytes: Buffer }
  | { readonly kind: 'until'; readonly session: string; readonly letter: string; readonly count: number; readonly expected: string[] }
  | { readonly kind: 'quiet'; readonly session: string; readonly milliseconds: number; readonly expected: string[] }
  | { readonly kind: 'halfClose' | 'close'; readonly session: string }
  | { readonly kind: 'open'; readonly session: string; readonly parameters: Record<string, string> };

export interface Script {
  readonly title: string;
  readonly steps: readonly Step[];
  /** It states replies of its own, for statements that bare PostgreSQL does not know. */
  readonly ownOnly: boolean;
  /** Lowest server version it makes sense for, and the first one it no longer does. */
  readonly since: number;
  readonly before: number;
  /** The server closes in the middle of a message: sent in pieces, the rest would meet a closed socket and lose the reply. */
  readonly uncut: boolean;
}

/** Scripts of one file, each under a `## title` line. @throws Error with the line number on a line it cannot read. */
export function parseScripts(text: string): Script[] {
  const scripts: (Script & { steps: Step[]; ownOnly: boolean; since: number; before: number; uncut: boolean })[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || /^#( |$)/.test(line)) continue;
    try {
      if (line.startsWith('## ')) {
        scripts.push({ title: line.slice(3), steps: [], ownOnly: false, since: 0, before: Infinity, uncut: false });
        continue;
      }
      const script = scripts.at(-1);
      if (!script) throw new Error('before the first ## title');
      const [, session = 'a', rest = ''] = /^(?:@(\w+) )?(.*)$/.exec(line)!;
      if (rest.startsWith('> ')) script.steps.push({ kind: 'send', session, bytes: encodeLine(rest.slice(2)) });
      else if (rest.startsWith('< ')) script.steps.push(reading(session, rest.slice(2)));
      else if (rest.startsWith('=')) {
        const last = script.steps.at(-1);
        if (last?.kind !== 'until' && last?.kind !== 'quiet') throw new Error('= without <');
        last.expected.push(rest.slice(1).trim());
        script.ownOnly = true;
      } else if (rest === 'half-close') script.steps.push({ kind: 'halfClose', session });
      else if (rest === 'close') script.steps.push({ kind: 'close', session });
      else if (rest.startsWith('open')) script.steps.push({ kind: 'open', session, parameters: JSON.parse(rest.slice(4) || '{}') });
      else if (rest.startsWith('since ')) script.since = Number(rest.slice(6));
      else if (rest.startsWith('before ')) script.before = Number(rest.slice(7));
      else if (rest === 'uncut') script.uncut = true;
      else throw new Error(`cannot read ${JSON.stringify(line)}`);
    } catch (error) {
      throw new Error(`line ${index + 1}: ${(error as Error).message}`);
    }
  }
  return scripts;
}

function reading(session: string, rest: string): Step {
  const quiet = /^quiet (\d+)$/.exec(rest);
  if (quiet) return { kind: 'quiet', session, milliseconds: Number(quiet[1]), expected: [] };
  const until = /^(eof|\w)(?: x(\d+))?$/.exec(rest);
  if (!until) throw new Error(`cannot read ${JSON.stringify(rest)}`);
  return { kind: 'until', session, letter: until[1]!, count: Number(until[2] ?? 1), expected: [] };
}

/** `message` sends each message in a write of its own, `run` all that follow each other in one, the others re-cut that run. */
export type Delivery = { readonly name: string; readonly perMessage: boolean; readonly cut: Cutter };

export interface Reply {
  readonly heard: string[];
  readonly expected: string[];
}

/** Runs a script on one server; one entry per `<`, and the greeting of each session before them. */
export async function runScript(
  script: Script,
  endpoint: Endpoint,
  defaults: Record<string, string>,
  delivery: Delivery,
): Promise<Reply[]> {
  const cut = script.uncut ? whole : delivery.cut;
  const sessions = new Map<string, WireSession>();
  const replies: Reply[] = [];
  const open = async (name: string, parameters: Record<string, string> = {}) => {
    const session = await WireSession.open(endpoint, { ...defaults, ...parameters }, cut);
    sessions.set(name, session);
    if (!script.ownOnly) replies.push({ heard: session.greeting, expected: [] });
    return session;
  };
  const session = async (name: string) => sessions.get(name) ?? (await open(name));
  try {
    for (let i = 0; i < script.steps.length; i++) {
      const step = script.steps[i]!;
      switch (step.kind) {
        case 'open':
          await open(step.session, step.parameters);
          break;
        case 'send': {
          const run = [step.bytes];
          while (!delivery.perMessage) {
            const next = script.steps[i + 1];
            if (next?.kind !== 'send' || next.session !== step.session) break;
            run.push(next.bytes);
            i++;
          }
          await (await session(step.session)).write(Buffer.concat(run));
          break;
        }
        case 'until':
          replies.push({ heard: await (await session(step.session)).until(step.letter, step.count), expected: step.expected });
          break;
        case 'quiet':
          replies.push({ heard: await (await session(step.session)).during(step.milliseconds), expected: step.expected });
          break;
        case 'halfClose':
          (await session(step.session)).halfClose();
          break;
        case 'close':
          (await session(step.session)).close();
          break;
      }
    }
  } finally {
    for (const open of sessions.values()) open.close();
  }
  return replies;
}

export const asIs: Delivery = { name: 'message by message', perMessage: true, cut: whole };

/** `*` in an expected line stands for anything. Error fields behind the message are compared only when given. */
export function agrees(heard: string, expected: string): boolean {
  const pattern = expected
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${pattern}${/^[EN] /.test(expected) ? '( |$)' : '$'}`, 's').test(heard);
}
