/** Our own connections at a server that lies: what is no message is an error of that connection alone, and what is one passes, however it is cut. */
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPool, serviceOf } from '../../catalog/service.ts';
import { WholeMessages } from '../../catalog/unreadable.ts';
import { PgPierError } from '../../errors.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { encodeLine, startupPacket } from '../wire/encode.ts';
import { collectingLog } from './lab.ts';

function message(type: string, body: Buffer, length = body.length + 4): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

const noEnd = Buffer.from('SERROR\0Mno end', 'latin1');
const lies: readonly Buffer[] = [
  ...[-2_147_483_648, -1, 0, 3, 100_000_000].flatMap((length) => [...'ETCSZ'].map((type) => message(type, Buffer.alloc(20), length))),
  ...[...'ENSCA'].map((type) => message(type, noEnd)),
  message('E', Buffer.from('SERROR\0', 'latin1')),
  message('E', Buffer.alloc(0)),
  message('T', Buffer.from([0, 1, 0x61, 0x62])),
  message('T', Buffer.from([0xff, 0xff])),
  message('T', Buffer.concat([Buffer.from([0, 1, 0x61, 0]), Buffer.alloc(17)])),
  message('R', Buffer.from([0, 0, 0, 10, 0x53, 0x43])),
  message('D', Buffer.from([0, 9, 0, 0, 0, 1])),
  message('D', Buffer.alloc(0)),
];

test('each lie is told as a catalog that is not available, at once, and the next query is answered', async () => {
  let lie: Buffer | undefined;
  const greeting = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))]);
  const answer = Buffer.concat([
    message('T', Buffer.concat([Buffer.from([0, 1, 0x61, 0]), Buffer.alloc(18)])),
    message('D', Buffer.from([0, 1, 0, 0, 0, 1, 0x31])),
    message('C', Buffer.from('SELECT 1\0')),
    message('Z', Buffer.from('I')),
  ]);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(greeting);
      socket.on('data', (asked: Buffer) => {
        if (asked[0] === 0x58) return;
        socket.write(lie ?? answer);
        lie = undefined;
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const pool = openPool({ host: '127.0.0.1', port, user: 'u', database: 'd' }, 1, collectingLog());
  const service = serviceOf(pool, collectingLog());
  try {
    for (const each of lies) {
      lie = each;
      const told = await Promise.race([service.query('select 1 as a').catch((error: unknown) => error), sleep(3_000, 'nothing')]);
      assert.ok(told instanceof PgPierError && told.data.sqlstate === '57P03', `${each.subarray(0, 12).toString('hex')}: ${String(told)}`);
      assert.deepEqual((await service.query('select 1 as a')).length, 1);
    }
  } finally {
    await pool.end();
    server.close();
  }
});

test('what PostgreSQL says passes unchanged in every cut', { skip: missingPostgres(15) }, async () => {
  const postgres = await startPostgres({ version: 15 });
  try {
    const said: Buffer[] = [];
    const socket = connect(postgres.port, '127.0.0.1');
    socket.on('data', (chunk: Buffer) => said.push(chunk));
    const queries = [
      "select repeat('x', 200000), null, ''",
      'select',
      'do $$ begin raise notice $n$a$n$; end $$',
      'selec 1',
      'set application_name = a',
      'copy (values (1), (2)) to stdout',
      'listen l; notify l',
      '',
    ];
    socket.write(
      Buffer.concat([
        startupPacket({ user: 'postgres' }),
        ...queries.map((text) => encodeLine(`Q ${JSON.stringify(text)}`)),
        encodeLine('X'),
      ]),
    );
    await new Promise((resolve) => socket.once('close', resolve));
    const all = Buffer.concat(said);
    for (const step of [1, 2, 3, 5, 7, 1_000, 65_536, all.length]) {
      const messages = new WholeMessages();
      const passed: Buffer[] = [];
      for (let at = 0; at < all.length; at += step) passed.push(Buffer.from(messages.take(all.subarray(at, at + step))));
      assert.ok(Buffer.concat(passed).equals(all), `in pieces of ${step}`);
    }
  } finally {
    await postgres.stop();
  }
});
