/** The storage contract on userfile. What else it promises is in userfile.test.ts. */
import { after, before, describe } from 'node:test';
import { missingPostgres } from '../servers/postgres.ts';
import { runStorageContract } from './storageContract.ts';
import { UserfileLab } from './userfileLab.ts';

for (const version of [15, 18] as const)
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: UserfileLab;
    before(async () => {
      lab = await UserfileLab.start(version);
    });
    after(() => lab?.stop());

    runStorageContract('userfile', () => ({
      open: (name) => lab.open(name),
      outside: {
        async get(name, path) {
          const { rows } = await lab.tables.query(
            `select bytes from pgpier.userfile_chunk c join pgpier.userfile f using (file_id)
             where f.state = 'finished' and f.path = convert_to($1, 'UTF8') order by number`,
            [`${name}/${path}`],
          );
          return Buffer.concat(rows.map(({ bytes }) => bytes));
        },
        async put(name, path, bytes) {
          await lab.tables.query(
            `with f as (insert into pgpier.userfile (prefix_id, path, state, size, chunk_bytes, finished)
               select prefix_id, convert_to($1, 'UTF8'), 'finished', octet_length($2::bytea), 65536, now() from pgpier.userfile_prefix where owner = 10
               returning file_id)
             insert into pgpier.userfile_chunk select file_id, 0, $2 from f`,
            [`${name}/${path}`, bytes],
          );
        },
        everything: async (name) =>
          (await lab.rows())
            .map(({ path }) => path)
            .filter((path) => path.startsWith(`${name}/`))
            .map((path) => path.slice(name.length + 1)),
        leaveDebris: (name, path) => lab.killedWriter(name, path),
      },
    }));
  });
