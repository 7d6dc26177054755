-- Files of userfile://. A file is there when its row says `finished`; its content lies in chunks, which nobody reads without the row.

-- Whose files. `name` is empty for a role's own, else what a URI names (`database.schema.prefix`): an identity, no table.
create table pgpier.userfile_prefix (
  prefix_id bigint generated always as identity primary key,
  -- A role's oid; 0 where the role was dropped: admins alone.
  owner oid not null,
  name text not null
);
create unique index userfile_prefix_own on pgpier.userfile_prefix (owner) where name = '';
create unique index userfile_prefix_named on pgpier.userfile_prefix (name) where name <> '';

create table pgpier.userfile (
  file_id bigint generated always as identity primary key,
  prefix_id bigint not null references pgpier.userfile_prefix,
  -- UTF-8. Not text: it is ordered and compared by its bytes, whatever database this is.
  path bytea not null,
  -- writing -> finished -> removed (deleted or replaced; may still be read), or writing -> abandoned. The last two are on their way out.
  state text not null default 'writing' check (state in ('writing', 'finished', 'removed', 'abandoned')),
  -- Every chunk but the last has so many bytes.
  chunk_bytes integer not null check (chunk_bytes > 0),
  size bigint,
  begun timestamptz not null default pg_catalog.clock_timestamp(),
  finished timestamptz,
  check (state not in ('finished', 'removed') or size is not null)
);
create unique index userfile_finished on pgpier.userfile (prefix_id, path) where state = 'finished';
create index userfile_unfinished on pgpier.userfile (prefix_id, path) where state <> 'finished';

create table pgpier.userfile_chunk (
  file_id bigint not null references pgpier.userfile,
  number integer not null,
  bytes bytea not null,
  primary key (file_id, number)
);
-- Never compressed by PostgreSQL: most of it is already, and a backup's files are.
alter table pgpier.userfile_chunk alter column bytes set storage external;
