-- What is remembered about connections to the outside and about rights.
--
-- A row's existence has two ends. `created_…` null: it exists; else it exists once that transaction of the client's cluster has committed.
-- `dropped_…` null: it goes on existing; else it is gone once that transaction has committed. A settled drop is a deleted row.

create table pgpier.cluster (
  only_row boolean primary key default true check (only_row),
  -- pg_control_system() of the cluster whose role oids the rights below belong to. Null: taken over at the next start.
  system_identifier bigint
);
insert into pgpier.cluster default values;

create table pgpier.secret_key (
  only_row boolean primary key default true check (only_row),
  -- Of the master key: tells a wrong one apart without any stored value being tried.
  fingerprint text not null,
  -- The key that values are encrypted with, encrypted with the master key.
  wrapped_data_key bytea not null
);

create table pgpier.external_connection (
  connection_id uuid primary key,
  name text not null,
  type text not null check (type in ('STORAGE', 'KMS', 'FOREIGNDATA')),
  provider text not null,
  owner oid not null,
  -- Encrypted as a whole: a URI carries its credentials in its parameters.
  uri bytea not null,
  created timestamptz not null default pg_catalog.now(),
  created_xid xid8,
  created_session uuid,
  dropped_xid xid8,
  dropped_session uuid,
  check ((created_xid is null) = (created_session is null)),
  check ((dropped_xid is null) = (dropped_session is null))
);
create unique index external_connection_name on pgpier.external_connection (name) where created_xid is null and dropped_xid is null;
create index external_connection_any_name on pgpier.external_connection (name);
create index external_connection_unsettled on pgpier.external_connection (connection_id)
  where created_xid is not null or dropped_xid is not null;

-- A right, or (grant_option) the right to hand it on; of an external connection, or of the system where connection_id is null.
create table pgpier.privilege (
  privilege_id uuid primary key,
  connection_id uuid references pgpier.external_connection on delete cascade,
  -- The oid of a role of the backing cluster; 0 is PUBLIC.
  grantee oid not null,
  privilege text not null,
  grant_option boolean not null,
  grantor oid not null,
  created_xid xid8,
  created_session uuid,
  dropped_xid xid8,
  dropped_session uuid,
  check ((created_xid is null) = (created_session is null)),
  check ((dropped_xid is null) = (dropped_session is null))
);
create unique index privilege_of_connection on pgpier.privilege (connection_id, grantee, privilege, grant_option)
  where connection_id is not null and created_xid is null and dropped_xid is null;
create unique index privilege_of_system on pgpier.privilege (grantee, privilege, grant_option)
  where connection_id is null and created_xid is null and dropped_xid is null;
create index privilege_connection on pgpier.privilege (connection_id);
create index privilege_unsettled on pgpier.privilege (privilege_id) where created_xid is not null or dropped_xid is not null;
