/** What NEWER THAN and OLDER THAN understand; PostgreSQL is asked what a time means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { readBackupTime } from '../../commands/backupTime.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';

const now = new Date('2026-11-24T12:00:00Z');
const read = (text: string, zone = 'UTC') => readBackupTime(text, now, zone)?.toISOString();

test('times mean what they mean to PostgreSQL, in any zone of the session', { skip: missingPostgres(18) }, async () => {
  const server = await startPostgres({ version: 18 });
  const client = new pg.Client({ connectionString: server.connectionString() });
  try {
    await client.connect();
    const texts = [
      '2026-04-18',
      '2026-04-18 08:42',
      '2026-04-18T08:42:11',
      '2026-04-18 08:42:11.257',
      '2026-04-18 08:42:11Z',
      '2026-04-18 08:42:11 UTC',
    ];
    texts.push(
      '2026-04-18 08:42:11+02',
      '2026-04-18 08:42:11 -03:30',
      '2026-04-18 08:42:11+0545',
      '2026-12-31T23:59:59.999+14',
      '2026-02-28',
    );
    // Around the change of clocks in Berlin and New York, but not within the hour that is told twice or never.
    texts.push('2026-03-29 01:59', '2026-03-29 03:00', '2026-10-25 01:59', '2026-10-25 03:00', '2026-03-08 01:30', '2026-11-01 03:30');
    for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Pacific/Kiritimati']) {
      await client.query(`set timezone = '${zone}'`);
      for (const text of texts) {
        const { rows } = await client.query('select $1::timestamptz as time', [text]);
        assert.equal(read(text, zone), (rows[0].time as Date).toISOString(), `${text} in ${zone}`);
      }
    }
  } finally {
    await client.end();
    await server.stop();
  }
});

test('a span counts back from now, a folder is its time', () => {
  assert.equal(read('-36h'), '2026-11-23T00:00:00.000Z');
  assert.equal(read('-7d'), '2026-11-17T12:00:00.000Z');
  assert.equal(read(' -1d12h30m1.5s '), '2026-11-22T23:29:58.500Z');
  assert.equal(read('/2026/04/18-084211.25'), '2026-04-18T08:42:11.250Z');
});

test('anything else is nothing', () => {
  for (const text of [
    '',
    '-',
    '36h',
    '-36',
    '-1y',
    'now',
    'yesterday',
    '2026',
    '2026-02-31',
    '2026-13-01',
    '2026-04-18 25:00',
    '2026-04-18 08:42:11 CEST',
    `-${'9'.repeat(30)}d`,
  ]) {
    assert.equal(read(text), undefined, text);
  }
  assert.equal(read('2026-04-18 08:42', 'not/a zone'), undefined);
});
