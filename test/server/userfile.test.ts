/** `pgpier userfile` as an operator runs it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { readCommandLine } from '../../server/userfile/commandLine.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Run {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

/** `during` may do something to the process. */
async function run(
  cwd: string,
  env: NodeJS.ProcessEnv,
  words: readonly string[],
  stdin?: Buffer,
  during?: (kill: (signal: NodeJS.Signals) => void) => unknown,
): Promise<Run> {
  const child = spawn(process.execPath, [main, 'userfile', ...words], { cwd, env: { PATH: process.env.PATH, HOME: cwd, ...env } });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  if (during === undefined) child.stdin.end(stdin);
  else during((signal) => child.kill(signal));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out: Buffer.concat(out), err };
}

for (const version of [15, 18] as const)
  describe(`pgpier userfile, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let pgpier: Pgpier;
    let admin: pg.Client;
    const folder = mkdtempSync(join(tmpdir(), 'pgpier-userfile-'));
    let env: NodeJS.ProcessEnv;
    const content = randomBytes(2_500_000);

    before(async () => {
      // A password is asked for over TCP, which is how the program logs in here.
      server = await startPostgres({ version, hba: 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' });
      admin = new pg.Client({ host: server.socketDir, port: server.port, user: 'postgres', database: 'postgres' });
      await admin.connect();
      await admin.query(`alter role postgres password 'hush-hush'; create role "Al.ice" login`);
      const backend = { PGPIER_BACKEND: server.connectionString(), PGPASSWORD: 'hush-hush' };
      pgpier = await startPgpier({ backend: server, env: backend });
      env = backend;
      writeFileSync(join(folder, 'file.bin'), content);
      mkdirSync(join(folder, 'back'));
    });
    after(async () => {
      await admin?.end();
      await pgpier?.stop();
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const userfile = (...words: string[]) => run(folder, env, words);
    const uri = (path: string) => `userfile://defaultdb.public.userfiles_postgres/${path}`;

    test('a file comes back as it went, by name, by path and through pipes', async () => {
      assert.deepEqual(await userfile('upload', 'file.bin'), {
        code: 0,
        out: Buffer.from(`successfully uploaded to ${uri('file.bin')}\n`),
        err: '',
      });
      assert.equal((await userfile('upload', 'file.bin', '/a folder/')).code, 0);
      assert.equal((await run(folder, env, ['upload', '-', 'piped'], content)).code, 0);
      assert.equal(String((await userfile('list')).out), 'a folder/file.bin\nfile.bin\npiped\n');
      assert.equal(String((await userfile('list', '--long', 'a f')).out), '2500000\ta folder/file.bin\n');
      assert.deepEqual(await userfile('get', 'a folder/file.bin', 'back/one'), { code: 0, out: Buffer.alloc(0), err: '' });
      assert.equal((await run(join(folder, 'back'), env, ['get', 'userfile:///a%20folder/file.bin'])).code, 0);
      for (const name of ['one', 'file.bin']) assert.equal(sha256(readFileSync(join(folder, 'back', name))), sha256(content), name);
      assert.equal(sha256((await userfile('get', 'piped', '-')).out), sha256(content));
      assert.equal(
        String((await userfile('delete', 'piped', uri('file.bin'))).out),
        `successfully deleted ${uri('piped')}\nsuccessfully deleted ${uri('file.bin')}\n`,
      );
      assert.equal(String((await userfile('list')).out), 'a folder/file.bin\n');
      assert.deepEqual(readdirSync(join(folder, 'back')).sort(), ['file.bin', 'one']);
    });

    test('what is there is replaced with --force alone', async () => {
      await userfile('upload', 'file.bin', 'kept');
      const second = await userfile('upload', 'file.bin', 'kept');
      assert.deepEqual([second.code, second.err], [1, `pgpier userfile: ${uri('kept')} exists already; --force replaces it\n`]);
      assert.equal((await run(folder, env, ['upload', '--force', '-', 'kept'], Buffer.from('new'))).code, 0);
      writeFileSync(join(folder, 'local'), 'old');
      const refused = await userfile('get', 'kept', 'local');
      assert.deepEqual([refused.code, refused.err], [1, 'pgpier userfile: "local" exists already; --force replaces it\n']);
      assert.equal(readFileSync(join(folder, 'local'), 'utf8'), 'old');
      assert.equal((await userfile('get', '--force', 'kept', 'local')).code, 0);
      assert.equal(readFileSync(join(folder, 'local'), 'utf8'), 'new');
    });

    test("a role's files, by --user or by URI, are those that its statements see", async () => {
      assert.equal(
        String((await userfile('upload', '--user', 'Al.ice', 'file.bin', 'x')).out),
        'successfully uploaded to userfile://defaultdb.public.%22userfiles_Al.ice%22/x\n',
      );
      assert.equal(String((await userfile('list', 'userfile://defaultdb.public.%22userfiles_Al.ice%22/')).out), 'x\n');
      assert.equal(String((await userfile('list', 'x')).out), '');
      await admin.query('alter role "Al.ice" rename to bea');
      assert.equal(String((await userfile('list', '--user', 'bea')).out), 'x\n');
    });

    // Nothing in it depends on the version, and each run is a process.
    if (version === 18)
      test('mistakes are told in words, with an exit code', async () => {
        const told = async (...words: string[]) => {
          const { code, err } = await userfile(...words);
          return `${code} ${err.replace(/^pgpier userfile: /, '').split('\n')[0]}`;
        };
        assert.equal(await told('upload', 'nothing.bin'), '1 "nothing.bin": there is no such file or directory');
        assert.equal(await told('upload', 'back'), '1 "back" is a directory; upload takes one file');
        assert.equal(await told('get', 'nothing'), `1 there is no ${uri('nothing')}`);
        assert.equal(await told('get', 'kept', 'back'), '1 "back" is a directory; give a file\'s name');
        assert.equal(await told('get', 'kept', 'no/such/folder'), '1 "no/such/folder": there is no such file or directory');
        assert.equal(await told('delete', 'nothing'), `1 there is no ${uri('nothing')}`);
        assert.equal(await told('list', '--user', 'nobody2'), '1 role "nobody2" does not exist');
        assert.match(
          await told('upload', 'file.bin', '/foo/..'),
          /^1 path \/foo\/\.\. changes after normalization to \/\. userfile upload does not permit/,
        );
        assert.match(await told('list', 's3://bucket'), /^1 unsupported storage scheme: "s3"/);
        assert.match(await told('list', 'userfile://a.b/c'), /^1 invalid `userfile` URI/);
        assert.match(await told('list', '--nonsense'), /^2 the configuration: there is no flag --nonsense/);
        assert.match(await told('list', '--backend', 'postgres://u:hush@h/d'), /^2 (?!.*hush).*ps shows flags/);
        assert.match(
          await told('list', '--backend', 'postgres://postgres@127.0.0.1:1/d'),
          /^1 cannot log in to the backend at 127\.0\.0\.1:1 .*connection refused$/,
        );
        assert.match(
          await told('list', '--user', 'x', '--catalog', server.connectionString('template1')),
          /^1 the database "template1" holds no files yet/,
        );
        const { err } = await run(folder, { ...env, PGPASSWORD: 'wrong' }, ['list']);
        assert.match(err, /cannot log in to the backend .*password authentication failed/);
        const none = await run(folder, { PGPIER_DATA: join(folder, 'none') }, ['list']);
        assert.deepEqual([none.code, /^pgpier userfile: no PgPier runs on the data directory/.test(none.err)], [1, true]);
      });

    test('an interrupted upload leaves nothing, and says so', async () => {
      const half = await run(folder, env, ['upload', '-', 'half'], undefined, async (kill) => {
        for (let waited = 0; waited < 10_000; waited += 50) {
          await sleep(50);
          const { rows } = await files(`select 1 from pgpier.userfile where state = 'writing'`);
          if (rows.length > 0) break;
        }
        kill('SIGINT');
      });
      assert.deepEqual([half.code, half.err], [130, 'pgpier userfile: interrupted; nothing was left half done\n']);
      assert.deepEqual((await files(`select 1 from pgpier.userfile where state <> 'finished'`)).rows, []);
    });

    async function files(text: string): Promise<pg.QueryResult> {
      const client = new pg.Client({ host: server.socketDir, port: server.port, user: 'postgres', database: 'pgpier' });
      await client.connect();
      try {
        return await client.query(text);
      } finally {
        await client.end();
      }
    }
  });

test('without a backend it finds the embedded server of a PgPier that runs', { skip: missingPostgres(18) }, async () => {
  const embedded = await startPgpier();
  try {
    const home = embedded.dataDirectory;
    const env = { PGPIER_DATA: home };
    assert.deepEqual((await run(tmpdir(), env, ['upload', '-', 'x/y'], Buffer.from('text'))).err, '');
    assert.equal(String((await run(tmpdir(), env, ['get', 'x/y', '-'])).out), 'text');
    const client = new pg.Client({ connectionString: embedded.url });
    await client.connect();
    const { rows } = await client.query(`EXPORT INTO CSV 'userfile:///x' FROM SELECT 1`);
    await client.end();
    assert.equal(String((await run(tmpdir(), env, ['get', `x/${rows[0].filename}`, '-'])).out), '1\n');
  } finally {
    await embedded.stop();
  }
});

test('the command line is read as it is meant', () => {
  const read = (...words: string[]) => readCommandLine(words);
  assert.deepEqual(read('upload', '--backend', 'postgres://h', 'f', '--force', '--user=al'), {
    kind: 'command',
    command: { kind: 'upload', file: 'f', path: undefined, force: true },
    user: 'al',
    settings: ['--backend', 'postgres://h'],
  });
  assert.deepEqual(read('delete', '--', '--force', '-x'), {
    kind: 'command',
    command: { kind: 'delete', paths: ['--force', '-x'] },
    user: undefined,
    settings: [],
  });
  assert.equal(read('get', '--help').kind, 'help');
  for (const words of [
    [],
    ['copy'],
    ['upload'],
    ['upload', '-'],
    ['get'],
    ['delete'],
    ['list', 'a', 'b'],
    ['list', '--force'],
    ['get', '--user'],
    ['get', ''],
  ])
    assert.equal(read(...words).kind, 'mistake', words.join(' '));
});
