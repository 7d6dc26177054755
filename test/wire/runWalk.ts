/** One walk on one endpoint: what is sent, when a cancel comes, and every reply until the walk's last. */
import { once } from 'node:events';
import { connect, type NetConnectOpts } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endOfWalk, type WalkStep } from './walk.ts';
import { type Cutter, type Endpoint, WireSession } from './wireSession.ts';

export interface WalkRun {
  readonly endpoint: Endpoint;
  readonly login: Readonly<Record<string, string>>;
  readonly side: 'bare' | 'proxied';
  readonly cut: Cutter;
  /** When the statement began that has the backend with this process id in pg_sleep; undefined where it does not sleep. */
  readonly asleepSince: (pid: number) => Promise<string | undefined>;
}

const idleMark = 'D ("idle")';

/** Every reply; a server that falls silent is a last line that says so. */
export async function runWalk(steps: readonly WalkStep[], { endpoint, login, side, cut, asleepSince }: WalkRun): Promise<string[]> {
  const session = await WireSession.open(endpoint, login, cut);
  const heard: string[] = [];
  const hear = async (last: string): Promise<void> => {
    for (let end = false; !end; ) {
      const part = await session.until('Z');
      heard.push(...part);
      end = part.includes(last) || part.at(-1) === 'eof';
    }
  };
  try {
    let lines: string[] = [];
    // A backend may still sleep when the cancel is delivered: a second one then would meet the same sleep, and the next go on for a minute.
    let canceled: string | undefined;
    for (const step of steps) {
      if (step.kind === 'message') {
        lines.push(step[side]);
        continue;
      }
      await session.send(...lines, ...step.lines);
      lines = [];
      if (step.when === 'idle') await hear(idleMark);
      else {
        let asleep: string | undefined;
        for (let waited = 0; asleep === undefined || asleep === canceled; waited += 2) {
          if (waited > 10_000) throw new Error('the statement to cancel never ran');
          await sleep(2);
          asleep = await asleepSince(session.pid);
        }
        canceled = asleep;
      }
      await sendCancel(endpoint, session);
    }
    await session.send(...lines, ...endOfWalk.lines);
    await hear(endOfWalk.lastRow);
  } catch (error) {
    heard.push((error as Error).message);
  } finally {
    session.close();
  }
  return heard;
}

/** Resolves when the server has closed: it has then done what it does. */
async function sendCancel(endpoint: Endpoint, { pid, key }: WireSession): Promise<void> {
  const socket = connect(endpoint as NetConnectOpts);
  const closed = once(socket, 'close');
  const packet = Buffer.alloc(12);
  packet.writeInt32BE(12 + key.length, 0);
  packet.writeInt32BE(80877102, 4);
  packet.writeInt32BE(pid, 8);
  socket.write(Buffer.concat([packet, key]));
  socket.resume();
  await closed;
}
