/** docs/restore-by-hand.md to the letter: its shell commands are run as they stand there. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import { startDumpLab } from '../dump/dumpLab.ts';
import { contentsOf, schemaOf } from '../restore/compare.ts';
import { fakeRun } from '../restore/restoreLab.ts';
import { missingPostgres, postgresBin } from '../servers/postgres.ts';
import { missingZstd } from '../servers/zstd.ts';

const page = readFileSync(new URL('../../docs/restore-by-hand.md', import.meta.url), 'utf8');
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);

for (const version of [15, 18] as const) {
  const skip = missingPostgres(version) || missingPostgres(15) || missingZstd;
  test(`a backup of PostgreSQL ${version} is restored by the page’s commands`, { skip }, async () => {
    assert.equal(commands.length, 4);
    const lab = await startDumpLab(version);
    const service = new pg.Pool({ connectionString: lab.server.connectionString('postgres'), max: 2 });
    const externalDir = mkdtempSync(join(tmpdir(), 'pgpier-byhand-'));
    try {
      const payload = { uri: 'nodelocal://1/c', targets: { kind: 'database', databases: ['rich'] } } as const;
      await backupJob.run(fakeRun({ server: lab.server, service, externalDir, payload }));
      const [year] = readdirSync(join(externalDir, 'c')).filter((name) => /^\d{4}$/.test(name));
      const [month] = readdirSync(join(externalDir, 'c', year!));
      const [folder] = readdirSync(join(externalDir, 'c', year!, month!));
      const env = {
        ...process.env,
        PATH: `${postgresBin(15)}:${process.env.PATH}`,
        BACKUP: join(externalDir, 'c', year!, month!, folder!),
        PGHOST: lab.server.socketDir,
        PGPORT: String(lab.server.port),
        PGUSER: 'postgres',
      };
      const outputs = commands.map((text) => execFileSync('sh', ['-e', '-c', text], { env, encoding: 'utf8' }));
      assert.deepEqual(outputs[1]!.trim().split('\n'), ['postgres', 'rich_owner']);
      assert.match(outputs[2]!, /restored\s*$/);
      assert.deepEqual(await contentsOf(lab.server, 'restored'), await contentsOf(lab.server, 'rich'));
      assert.equal(await schemaOf(lab.server, version, 'restored'), await schemaOf(lab.server, version, 'rich'));
    } finally {
      await service.end();
      await lab.stop();
      rmSync(externalDir, { recursive: true, force: true });
    }
  });
}
