/** SHOW BACKUPS and SHOW BACKUP on a bucket of a real S3 server. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import pg from 'pg';
import { openStorage } from '../../external/storage/storages.ts';
import { buildBackup, put } from '../jobs/backupBuilder.ts';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { type S3Server, startS3 } from '../servers/s3.ts';

const first = '2025/12/31-235959.99';
const second = '2026/04/18-084211.25';
const settings = { nodeId: 1, allowedNetworks: [] };

describe('SHOW BACKUPS and SHOW BACKUP on S3', { skip: missingPostgres(18) }, () => {
  test('a collection in a bucket, among foreign objects', async (t) => {
    const s3 = await startS3();
    if ('missing' in s3) return t.skip(s3.missing);
    const server = await startPostgres({ version: 18 });
    const pgpier = await startPgpier({ backend: server });
    const client = new pg.Client({ connectionString: pgpier.url });
    try {
      await client.connect();
      const uri = s3Uri(s3, `show-backups-${Date.now()}`);
      const storage = await openStorage({ uri, trusted: true }, settings);
      for (const folder of [first, second]) await buildBackup(storage, folder);
      for (const path of ['2026/04/18-084211.25x/a', '20/x', 'zzz', 'metadata/latest/other']) await put(storage, path, 'x');
      await client.query(`CREATE EXTERNAL CONNECTION bucket AS '${uri}'`);
      assert.deepEqual((await client.query(`SHOW BACKUPS IN 'external://bucket'`)).rows, [{ path: `/${first}` }, { path: `/${second}` }]);
      assert.equal((await client.query(`SHOW BACKUP FROM LATEST IN 'external://bucket' WITH check_files`)).rows.length, 7);
      await storage.delete(`${second}/1/pre-data.sql.zst`);
      await assert.rejects(client.query(`SHOW BACKUP FROM LATEST IN 'external://bucket' WITH check_files`), {
        code: '58P01',
        message: 'The following files are missing from the backup:\n\t1/pre-data.sql.zst',
      });
      await assert.rejects(client.query(`SHOW BACKUP FROM LATEST IN '${uri.replace(s3.bucket, 'no-such-bucket')}'`), /bucket/i);
      await storage.close();
    } finally {
      await client.end();
      await pgpier.stop();
      await server.stop();
      await s3.stop();
    }
  });
});

function s3Uri(s3: S3Server, path: string): string {
  const query = new URLSearchParams({
    AWS_ACCESS_KEY_ID: s3.accessKey,
    AWS_SECRET_ACCESS_KEY: s3.secretKey,
    AWS_ENDPOINT: s3.endpoint,
    AWS_REGION: 'us-east-1',
  });
  return `s3://${s3.bucket}/${path}?${query}`;
}
