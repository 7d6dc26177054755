/** The GRANT statements that SHOW BACKUP prints make the access control list that they were made from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { grantStatements } from '../../jobs/backup/grantStatements.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';

for (const version of [15, 18] as const)
  test(`what PostgreSQL ${version} granted is granted again`, { skip: missingPostgres(version) }, async () => {
    const server = await startPostgres({ version });
    const client = new pg.Client({ connectionString: server.connectionString() });
    try {
      await client.connect();
      const names = ['bob', 'Eve', 'o"dd=name/x', 'with blank', 'user', 'ünï'];
      for (const name of names) await client.query(`create role ${client.escapeIdentifier(name)}`);
      const [bob, eve, odd, blank, user, uni] = names.map((name) => client.escapeIdentifier(name));
      const make = async (name: string) => {
        const schema = client.escapeIdentifier(name);
        await client.query(
          `create schema ${schema}; create table ${schema}."T 1" (a int); create sequence ${schema}.s; create type ${schema}.mood as enum ()`,
        );
        await client.query(`create function ${schema}.f(int) returns int language sql return 1`);
      };
      await make('a.b');
      await client.query(`
        grant all on schema "a.b" to ${bob} with grant option;
        grant usage on schema "a.b" to public;
        grant all on "a.b"."T 1" to ${eve};
        grant select, insert on "a.b"."T 1" to ${odd} with grant option; grant update, delete on "a.b"."T 1" to ${odd};
        grant select on "a.b"."T 1" to public, ${blank}, ${user}, ${uni};
        grant usage on sequence "a.b".s to ${bob};
        grant usage on type "a.b".mood to ${odd};
        revoke execute on function "a.b".f(int) from public; grant execute on function "a.b".f(int) to ${blank}`);
      const lists = `select nspacl::text[] as schema, relacl::text[] as table, (select typacl::text[] from pg_type where typname = 'mood' and typnamespace = n.oid) as type,
          (select relacl::text[] from pg_class where relname = 's' and relnamespace = n.oid) as sequence,
          (select proacl::text[] from pg_proc where pronamespace = n.oid) as function
        from pg_namespace n join pg_class c on c.relnamespace = n.oid and relname = 'T 1' where nspname = $1`;
      const before = (await client.query(lists, ['a.b'])).rows[0];
      await client.query('drop schema "a.b" cascade');
      await make('a.b');
      // What is granted by default is not in the statements' power to take away.
      await client.query('revoke execute on function "a.b".f(int) from public');
      const statements = [
        grantStatements({ schema: '', name: 'a.b', type: 'schema' }, before.schema),
        grantStatements({ schema: 'a.b', name: 'T 1', type: 'table' }, before.table),
        grantStatements({ schema: 'a.b', name: 's', type: 'table' }, before.sequence),
        grantStatements({ schema: 'a.b', name: 'mood', type: 'type' }, before.type),
        grantStatements({ schema: 'a.b', name: 'f(integer)', type: 'function' }, before.function),
      ];
      for (const text of statements) await client.query(text);
      const after = (await client.query(lists, ['a.b'])).rows[0];
      for (const [kind, list] of Object.entries(before)) assert.deepEqual([...after[kind]].sort(), [...(list as string[])].sort(), kind);
    } finally {
      await client.end();
      await server.stop();
    }
  });

test('what is no access control item stands as it is', () => {
  const object = { schema: 's', name: 't', type: 'table' } as const;
  for (const item of ['', 'x', 'bob=', 'bob=r', 'bob=?/x', 'bob=Z/x', '"bob=r/x', "'; drop table t"])
    assert.equal(grantStatements(object, [item]), `${item};`);
});
