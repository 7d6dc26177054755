-- What a connection leads to, apart from the connection itself: ALTER EXTERNAL CONNECTION replaces the one and leaves name, owner and rights.

create table pgpier.connection_uri (
  uri_id uuid primary key,
  connection_id uuid not null references pgpier.external_connection on delete cascade,
  provider text not null,
  -- Encrypted as a whole: a URI carries its credentials in its parameters.
  uri bytea not null,
  -- The oid of the role that wrote it: what it may reach is judged by that role's rights, not by those of the connection's owner.
  author oid not null,
  created timestamptz not null default pg_catalog.now(),
  created_xid xid8,
  created_session uuid,
  dropped_xid xid8,
  dropped_session uuid,
  check ((created_xid is null) = (created_session is null)),
  check ((dropped_xid is null) = (dropped_session is null))
);
create unique index connection_uri_of on pgpier.connection_uri (connection_id) where created_xid is null and dropped_xid is null;
create index connection_uri_connection on pgpier.connection_uri (connection_id);
create index connection_uri_unsettled on pgpier.connection_uri (uri_id) where created_xid is not null or dropped_xid is not null;

-- Of connections that are themselves pending too: the version lasts as long as its connection.
insert into pgpier.connection_uri (uri_id, connection_id, provider, uri, author, created)
select pg_catalog.gen_random_uuid(), connection_id, provider, uri, owner, created from pgpier.external_connection;

alter table pgpier.external_connection drop column uri, drop column provider;
