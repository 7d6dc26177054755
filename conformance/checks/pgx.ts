/** pgx' own tests, plain and through TLS; its connection strings are those of its scripts/lib/test_targets.rb. */
import type { Check, Endpoint } from '../check.ts';
import { missingCommand } from '../sources.ts';
import { type GoModule, goModule, goRunPattern, goTest } from '../suites/goTest.ts';

const module: GoModule = {
  path: 'github.com/jackc/pgx/v5',
  version: 'v5.13.0',
  sum: 'h1:Hl08k64maU0nrRyVUEbwCnK6/gT0EhMrtAqBHz9/gA4=',
};

/** testsetup/postgresql_setup.sql, less the roles for certificates and OAuth. */
const preparation = `
create extension hstore; create extension ltree; create domain uint64 as numeric(20,0);
set password_encryption = md5; create user pgx_md5 superuser password 'secret';
set password_encryption = 'scram-sha-256';
create user pgx_pw superuser password 'secret'; create user pgx_scram superuser password 'secret'; create user pgx_ssl superuser password 'secret';
create user " tricky, ' } "" \\\\ test user " superuser password 'secret';
`;

const hba = `local all all trust
host all postgres 127.0.0.1/32 trust
host all pgx_md5 127.0.0.1/32 md5
host all pgx_pw 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
`;
/** No way in without SCRAM. */
const hbaTls = 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n';

export const pgx: Check = {
  name: 'pgx',
  description: `pgx ${module.version}'s own tests, logins by MD5, SCRAM and in clear among them`,
  missing: () => missingCommand('go'),
  prepare: () => void goModule(module),
  server: { postgres: { hba }, preparation },
  run: (endpoint) => goTest(endpoint, module, plain(endpoint)),
  rerun: (endpoint, names) => goTest(endpoint, module, plain(endpoint), [goRunPattern(names)]),
};

export const pgxTls: Check = {
  name: 'pgx-tls',
  description: `pgx ${module.version}'s own tests through TLS, logins by SCRAM with channel binding where pgx itself sees the TLS`,
  missing: () => missingCommand('go', 'openssl'),
  prepare: () => void goModule(module),
  server: { postgres: { hba: hbaTls }, preparation, tls: 'everywhere' },
  run: (endpoint) => goTest(endpoint, module, encrypted(endpoint)),
  rerun: (endpoint, names) => goTest(endpoint, module, encrypted(endpoint), [goRunPattern(names)]),
};

function plain({ host, port, database }: Endpoint): Record<string, string> {
  const as = (user: string): string => `host=${host} port=${port} user=${user} password=secret dbname=${database} sslmode=disable`;
  return {
    PGX_TEST_DATABASE: as('pgx_md5'),
    PGX_TEST_TCP_CONN_STRING: as('pgx_md5'),
    PGX_TEST_MD5_PASSWORD_CONN_STRING: as('pgx_md5'),
    PGX_TEST_PLAIN_PASSWORD_CONN_STRING: as('pgx_pw'),
    PGX_TEST_SCRAM_PASSWORD_CONN_STRING: `${as('pgx_scram')} channel_binding=disable`,
  };
}

function encrypted({ port, database, rootCertificate }: Endpoint): Record<string, string> {
  const base = `host=localhost port=${port} user=pgx_ssl password=secret dbname=${database} sslmode=verify-full sslrootcert=${rootCertificate}`;
  const bound = `${base} channel_binding=require`;
  return {
    PGX_TEST_DATABASE: base,
    PGX_TEST_TCP_CONN_STRING: base,
    PGX_TEST_SCRAM_PASSWORD_CONN_STRING: bound,
    PGX_TEST_SCRAM_PLUS_CONN_STRING: bound,
    PGX_TEST_TLS_CONN_STRING: `${base} channel_binding=disable`,
  };
}
