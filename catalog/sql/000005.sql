-- The life of a connection: a second set of credentials, what depends on it, and who used it.

-- Other credentials for the same place, with the oid of the role that wrote them; as `uri` and `author`.
alter table pgpier.connection_uri
  add column fallback bytea,
  add column fallback_author oid,
  add check ((fallback is null) = (fallback_author is null));

-- Connections that a job's statement named. Without a reference: they may be dropped, and the job fails then.
alter table pgpier.job add column connections uuid[] not null default '{}';

-- Who used which connection. A row is written when a use begins and once more when it ends; names are those of that moment. Nothing here refers to another
-- table: the rows outlive connections, roles and jobs, until they are older than PGPIER_USAGE_RETENTION says.
create table pgpier.connection_use (
  use_id uuid primary key,
  -- Null where there was no connection yet (CREATE).
  connection_id uuid,
  connection_name text not null,
  -- Oid of its owner; null as above.
  owner oid,
  role oid not null,
  role_name text not null,
  -- Kind of the statement: `BACKUP`, `EXPORT INTO CSV`.
  statement text not null,
  job_id bigint,
  -- PGPIER_NODE_ID.
  node bigint not null,
  begun timestamptz not null default pg_catalog.clock_timestamp(),
  -- Null while it goes on, and for ever where PgPier was killed meanwhile.
  ended timestamptz,
  outcome text check (outcome in ('succeeded', 'failed', 'canceled', 'interrupted')),
  sqlstate text,
  bytes_written bigint,
  bytes_read bigint,
  -- Which set the store was last asked with.
  credentials text check (credentials in ('first', 'second')),
  check ((ended is null) = (outcome is null))
);
create index connection_use_of on pgpier.connection_use (connection_name, begun desc);
create index connection_use_begun on pgpier.connection_use (begun);
create index connection_use_under_way on pgpier.connection_use (job_id) where ended is null;

create view pgpier.connection_usage as
select connection_name, role_name as user_name, statement, job_id, node, begun as started, ended as finished, outcome, sqlstate, bytes_written, bytes_read,
  credentials, connection_id, role as user_id, owner as owner_id
from pgpier.connection_use;
