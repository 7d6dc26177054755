/** What an idle session costs: thousands of them, logged in and used once, against a stand-in backend. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { encodeLine, startupPacket } from '../../test/wire/encode.ts';
import { type Backend, type Endpoint, type Lab, memoryKib } from './endpoint.ts';

const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const opensAtOnce = 32;

/** Starts the stand-in on a socket that looks like a server's. @param real what the proxies' own sessions are led to. */
export async function startIdleBackend(lab: Lab, real: Backend): Promise<Backend> {
  const socketDir = join(lab.directory, 'idle');
  mkdirSync(socketDir, { mode: 0o755 });
  const path = join(socketDir, '.s.PGSQL.5432');
  const script = fileURLToPath(new URL('./idleBackend.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, path, join(real.socketDir, `.s.PGSQL.${real.port}`)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  lab.onStop(() => void child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  chmodSync(path, 0o777);
  return { socketDir, port: 5432 };
}

/** KiB of memory for each session at each of these counts, `settle` seconds after its last login, and what the proxy took before the first. */
export async function idleSessions(
  endpoint: Endpoint,
  counts: readonly number[],
  settle: number,
): Promise<{ before: number; each: readonly number[] }> {
  const before = memoryKib(endpoint);
  const sessions: Socket[] = [];
  const each: number[] = [];
  for (const count of counts) {
    const open = async (): Promise<void> => {
      while (sessions.length < count) await openSession(endpoint, sessions);
    };
    await Promise.all(Array.from({ length: opensAtOnce }, open));
    await sleep(settle * 1000);
    const broken = sessions.filter((socket) => socket.destroyed || socket.readableEnded).length;
    if (broken > 0) throw new Error(`${broken} of ${count} sessions did not last`);
    each.push((memoryKib(endpoint) - before) / count);
  }
  for (const socket of sessions) socket.destroy();
  await sleep(1000);
  return { before, each };
}

function openSession({ port, tls }: Endpoint, sessions: Socket[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    sessions.push(socket);
    socket.on('error', reject);
    const talk = (stream: Socket): void => {
      let asked = false;
      stream.on('data', (bytes: Buffer) => {
        if (bytes[0] === 0x45) return reject(new Error(bytes.toString('latin1').slice(0, 200)));
        if (bytes.at(-6) !== 0x5a) return;
        if (asked) return resolve();
        asked = true;
        stream.write(encodeLine('Q ""'));
      });
      stream.write(startupPacket({ user: 'postgres', database: 'postgres' }));
    };
    if (!tls) return talk(socket);
    socket.write(sslRequest);
    socket.once('data', () => {
      const encrypted = connectTls({ socket, rejectUnauthorized: false }, () => talk(encrypted));
      encrypted.on('error', reject);
    });
  });
}
