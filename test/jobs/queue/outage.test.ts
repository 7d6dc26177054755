/** A catalog that does not answer for a while. The worker reaches it through a gate that is shut. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attemptOf, QueueLab } from './queueLab.ts';

describe('while the catalog is away', () => {
  let lab: QueueLab;
  let gate: Server;
  let port = 0;
  let open = true;
  const sockets = new Set<Socket>();
  before(async () => {
    lab = await QueueLab.start(18);
    gate = createServer((from) => {
      if (!open) return void from.destroy();
      const to = connect(lab.lab.server.port, '127.0.0.1');
      for (const socket of [from, to]) {
        sockets.add(socket);
        socket
          .on('error', () => {})
          .on('close', () => {
            sockets.delete(socket);
            from.destroy();
            to.destroy();
          });
      }
      from.pipe(to).pipe(from);
    }).listen(0, '127.0.0.1');
    await once(gate, 'listening');
    port = (gate.address() as { port: number }).port;
  });
  afterEach(() => lab.stopWorkers());
  after(async () => {
    gate.close();
    await lab.stop();
  });
  const shut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };

  test('for two seconds, the same attempt goes on', async () => {
    lab.worker(1, 2, { host: '127.0.0.1', port });
    const spec = lab.spec({ steps: 30, stepMs: 100 });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:2');
    shut();
    await sleep(2_000);
    open = true;
    await lab.reaches(id, 'succeeded');
    assert.ok(
      lab.lines(spec.file).every((line) => attemptOf(line) === 1),
      lab.lines(spec.file).join('\n'),
    );
  });

  test('for longer than a lease, the work stops in time and another attempt carries on', async () => {
    lab.worker(1, 2, { host: '127.0.0.1', port });
    const spec = lab.spec({ steps: 12, stepMs: 100 });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:2');
    shut();
    await sleep(8_000);
    const before = lab.lines(spec.file).length;
    open = true;
    await lab.reaches(id, 'succeeded');
    assert.match(lab.lines(spec.file)[before]!, /^begin:\d+ 2 /);
  });
});
