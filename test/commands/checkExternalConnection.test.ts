/** CHECK EXTERNAL CONNECTION by a driver, on a disk and on an S3 server. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { byteSizeInWords, readByteSize } from '../../commands/byteSize.ts';
import { cancelQueryOf } from '../server/loginLab.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { startS3 } from '../servers/s3.ts';

test('sizes in words', () => {
  for (const [text, bytes] of [
    ['32MiB', 33_554_432],
    [' 1.5 k', 1500],
    ['4096', 4096],
    ['2GB', 2e9],
    ['0', undefined],
    ['ten', undefined],
    ['1PiB', undefined],
  ] as const)
    assert.equal(readByteSize(text), bytes, text);
  for (const [bytes, text] of [
    [33_554_432, '32 MiB'],
    [69_384_274, '66.17 MiB'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [5 * 1024 ** 4, '5 TiB'],
  ] as const)
    assert.equal(byteSizeInWords(bytes), text);
});

describe('CHECK EXTERNAL CONNECTION', { skip: missingPostgres(15) }, () => {
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  let notices: string[];
  before(async () => {
    postgres = await startPostgres({ version: 15 });
    proxy = await startPgpier({ backend: postgres, env: { PGPIER_ALLOW_NETWORKS: '127.0.0.0/8' } });
    client = new pg.Client({ connectionString: proxy.connectionString() });
    client.on('notice', ({ message }) => notices.push(message!));
    await client.connect();
    await client.query("create external connection disk as 'nodelocal://1/disk'");
  });
  after(async () => {
    await client?.end();
    await proxy?.stop();
    await postgres?.stop();
  });

  const check = async (text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> => {
    notices = [];
    return (await client.query(`CHECK EXTERNAL CONNECTION ${text}`, values)).rows;
  };
  const filesIn = (folder: string): string[] => readdirSync(join(proxy.externalDirectory, folder)).sort();

  test('a place that works is a row with sizes and speeds, and nothing is left there', async () => {
    const rows = await check("'external://disk/deeper'");
    assert.equal(rows.length, 1);
    const { read_speed, write_speed, ...rest } = rows[0]!;
    assert.deepEqual(rest, { node: '1', locality: '', ok: true, error: null, transferred: '32 MiB', can_delete: true });
    for (const speed of [read_speed, write_speed]) assert.match(String(speed), /^[\d.]+ (K|M|G)iB\/s$/);
    assert.deepEqual(filesIn('disk/deeper'), []);
    assert.deepEqual(notices, []);
  });

  test('options are values or parameters, each run is a row, and TIME repeats', async () => {
    const rows = await check('$1 WITH OPTIONS (transfer = $2, CONCURRENTLY = 3)', ['nodelocal://1/disk', '1000']);
    assert.deepEqual(
      rows.map(({ ok, transferred }) => [ok, transferred]),
      [1, 2, 3].map(() => [true, '1000 B']),
    );
    const started = Date.now();
    const [repeated] = await check("'external://disk' WITH TRANSFER = '1 KiB', TIME = '0.6s'");
    assert.ok(Date.now() - started >= 600);
    const [, number, unit] = /^([\d.]+) (\w+)$/.exec(String(repeated!.transferred))!;
    assert.ok(Number(number) > 1 || unit !== 'KiB', 'more than one round');
  });

  test('what cannot be read is told before anything goes outside', async () => {
    for (const [options, error] of [
      ["transfer = 'much'", { code: '22023', message: /invalid value for option "transfer": it must be a size up to 64 GiB/ }],
      ["transfer = '65GiB'", { code: '22023', message: /up to 64 GiB/ }],
      ["time = 'soon'", { code: '22023', message: /invalid value for option "time": it must be a time up to 24 hours/ }],
      ["time = '25h'", { code: '22023', message: /up to 24 hours/ }],
      ['concurrently = 0', { code: '22023', message: /a whole number from 1 to 64/ }],
      ['concurrently = 65', { code: '22023', message: /a whole number from 1 to 64/ }],
      ["size = '1'", { code: '42601', message: /invalid option "size"/ }],
      ["transfer = '1', transfer = '2'", { code: '42601', message: /given more than once/ }],
    ] as const)
      await assert.rejects(check(`'external://disk' WITH ${options}`), error, options);
    await assert.rejects(check("'external://missing'"), { code: '42704' });
    await assert.rejects(check("'disk'"), { code: '22023' });
    await assert.rejects(check(''), { code: '42601' });
  });

  test('a place that fails is a row with the reason', async () => {
    writeFileSync(join(proxy.externalDirectory, 'file'), '');
    const [row] = await check("'nodelocal://1/file/below'");
    assert.deepEqual([row!.ok, row!.transferred, row!.can_delete], [false, null, null]);
    assert.match(String(row!.error), /a file is where a folder is needed: "file"/);
    const [nobody] = await check(
      "'s3://b/p?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=hunter2&AWS_REGION=us-east-1&AWS_ENDPOINT=http://127.0.0.1:1'",
    );
    assert.equal(nobody!.ok, false);
    assert.match(String(nobody!.error), /ECONNREFUSED/);
    assert.doesNotMatch(JSON.stringify(nobody) + proxy.output(), /hunter2/);
  });

  test('a key encrypts and decrypts: at CREATE, and as a row', async () => {
    const keys = join(proxy.dataDirectory, 'kms');
    mkdirSync(keys);
    writeFileSync(join(keys, 'backups'), randomBytes(32).toString('base64'), { mode: 0o600 });
    await client.query("create external connection vault as 'local-kms:///backups'");
    const { rows } = await client.query('show external connection vault');
    assert.deepEqual(rows, [{ connection_name: 'vault', connection_uri: 'local-kms:///redacted', connection_type: 'KMS' }]);
    const [row] = await check("'external://vault/ignored?too'");
    assert.deepEqual(row, {
      node: '1',
      locality: '',
      ok: true,
      error: null,
      transferred: '67 B',
      read_speed: null,
      write_speed: null,
      can_delete: null,
    });
    assert.deepEqual(notices, ['the key encrypted a text and decrypted it again']);
    writeFileSync(join(keys, 'backups'), 'spoilt', { mode: 0o600 });
    const [failed] = await check("'external://vault'");
    assert.match(String(failed!.error), /the local key "backups" cannot be used: it does not hold 32 bytes/);
    await assert.rejects(client.query("create external connection nothing as 'local-kms:///nothing'"), {
      code: '42704',
      message:
        'failed to construct External Connection details: failed to create local KMS external connection: there is no local key "nothing"',
    });
    await assert.rejects(client.query("export into csv 'external://vault' from select 1"), {
      code: '42809',
      message: 'STORAGE cannot use object of type KMS',
    });
    await assert.rejects(client.query("alter external connection vault as 'nodelocal://1/x'"), { code: '42809' });
    await assert.rejects(client.query("alter external connection disk as 'local-kms:///backups'"), { code: '42809' });
  });

  test('a cancel ends it and leaves nothing', async () => {
    const running = assert.rejects(check("'nodelocal://1/cancelled' WITH TRANSFER = '1MiB', TIME = '60s', CONCURRENTLY = 4"), {
      code: '57014',
    });
    await sleep(700);
    await cancelQueryOf(client, proxy.port);
    await running;
    for (let waited = 0; filesIn('cancelled').length > 0 && waited < 10_000; waited += 100) await sleep(100);
    assert.deepEqual(filesIn('cancelled'), []);
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
  });

  test('on S3, with and without the right to delete', async (t) => {
    const server = await startS3();
    if ('missing' in server) return t.skip(`S3: ${server.missing}`);
    // Refuses DELETE as a policy would, and passes all else on, the signature's host included.
    const { port } = new URL(server.endpoint);
    let deletes = 'allowed';
    const gate = createServer((incoming, outgoing) => {
      if (incoming.method === 'DELETE' && deletes === 'refused') {
        incoming.resume();
        outgoing.writeHead(403, { 'content-type': 'application/xml' });
        outgoing.end('<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>');
        return;
      }
      const onward = request(
        { host: '127.0.0.1', port, method: incoming.method, path: incoming.url, headers: incoming.headers },
        (answer) => {
          outgoing.writeHead(answer.statusCode!, answer.headers);
          answer.pipe(outgoing);
        },
      );
      onward.on('error', () => outgoing.destroy());
      incoming.pipe(onward);
    });
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
    try {
      const endpoint = `http://127.0.0.1:${(gate.address() as AddressInfo).port}`;
      const keys = `AWS_ACCESS_KEY_ID=${server.accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(server.secretKey)}`;
      const uri = `s3://${server.bucket}/checked?${keys}&AWS_REGION=us-east-1&AWS_ENDPOINT=${endpoint}`;
      const [allowed] = await check('$1', [uri]);
      assert.deepEqual([allowed!.ok, allowed!.error, allowed!.transferred, allowed!.can_delete], [true, null, '32 MiB', true]);
      deletes = 'refused';
      const [refused] = await check("$1 WITH TRANSFER = '10kB'", [uri]);
      assert.deepEqual([refused!.ok, refused!.transferred, refused!.can_delete], [true, '9.77 KiB', false]);
      assert.match(notices.join(), /^a file could not be deleted: pgpier_check_[0-9a-f-]{36}$/);
    } finally {
      gate.closeAllConnections();
      gate.close();
      await server.stop();
    }
  });
});
