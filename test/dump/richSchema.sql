-- A database with an object of every kind that a backup has to carry. Read by psql with `-v ON_ERROR_STOP=1`, as superuser, on PostgreSQL 15 and newer.
-- Roles are made by the test: rich_owner, rich_reader.
create schema shop authorization rich_owner;
create schema "Odd ""Schema"" ü; Type: TABLE";
comment on schema shop is 'what is sold; it''s a "comment"';
create extension pg_trgm with schema public;
create extension hstore with schema shop;
create extension citext;
create extension postgres_fdw;
create extension btree_gist;

set role rich_owner;
set search_path = shop, public;

create type mood as enum ('sad', 'ok', 'it''s "great"');
create domain positive as integer check (value > 0) default 1;
create domain email as public.citext constraint has_at check (value ~ '@') not null;
create type address as (street text, "house No" integer, tags text[]);
create type price_range as range (subtype = numeric);
create type "Weird.Type;" as enum ('a;b', '--c');
create collation plain (provider = libc, locale = 'C');
create sequence ticket increment by 7 minvalue -100 maxvalue 1000000 start 5 cache 3 cycle;
select nextval('ticket'), nextval('ticket');

create function add(a integer, b integer default 2) returns integer language sql immutable parallel safe return a + b;
create function hostile_text() returns text language plpgsql as $body$
begin
  -- Name: fake; Type: TABLE; Schema: public; Owner: postgres
  return '
--
-- Name: fake2; Type: TABLE; Schema: public; Owner: postgres
--

DROP TABLE x; $$ ';
end $body$;
create function touch() returns trigger language plpgsql as $$ begin new.changed := now(); return new; end $$;
create function note_rows() returns trigger language plpgsql as $$ begin return null; end $$;
create procedure noop(inout x integer) language plpgsql as $$ begin x := x; end $$;
create function atomic_body() returns setof text begin atomic select 'a;b'::text as t; select 'c'::text as t; end;
create aggregate product (integer) (sfunc = int4mul, stype = integer, initcond = '1');
create function near(a text, b text) returns boolean language sql immutable return a = lower(b);
create operator ~~~ (leftarg = text, rightarg = text, function = near);
comment on function add(integer, integer) is 'adds';

create table customer (
  id bigint generated always as identity (start with 10 increment by 5) primary key,
  name text not null collate "C",
  mail email,
  born date check (born > '1800-01-01'),
  feeling mood default 'ok',
  lives address,
  worth positive,
  "odd column ""q"" ü" integer default nextval('ticket'),
  area numeric(12, 3) generated always as (born - date '2000-01-01') stored,
  extra jsonb not null default '{"a": [1, 2]}',
  h hstore,
  bits bit varying(12),
  secret bytea,
  changed timestamptz default now(),
  unique (name, born)
);
alter table customer alter column name set statistics 300, alter column extra set storage external;
comment on column customer.name is E'a\nline';
create index on customer using gin (extra jsonb_path_ops);
create index customer_lower on customer (lower(name)) where born is not null;
create index customer_trgm on customer using gin (name public.gin_trgm_ops);
create statistics customer_stats (ndistinct, dependencies) on name, born from customer;
create trigger touch_it before update on customer for each row when (old.name is distinct from new.name) execute function touch();
create trigger statement_level after insert on customer referencing new table as added for each statement execute function note_rows();
alter table customer enable row level security;
create policy readers on customer for select to rich_reader using (worth > 1);
grant select (id, name), update (name) on customer to rich_reader with grant option;

create table orders (
  id serial,
  customer bigint not null references customer on delete cascade deferrable initially deferred,
  placed timestamp not null,
  during tsrange,
  amounts price_range[],
  primary key (id, placed)
) partition by range (placed);
create table orders_2024 partition of orders for values from ('2024-01-01') to ('2025-01-01');
create table orders_2025 partition of orders for values from ('2025-01-01') to ('2026-01-01') partition by hash (id);
create table orders_2025_0 partition of orders_2025 for values with (modulus 2, remainder 0);
create table orders_2025_1 partition of orders_2025 for values with (modulus 2, remainder 1);
create table orders_rest partition of orders default;
create index on orders (customer);
create table listed (k text, v integer) partition by list (k);
create table listed_a partition of listed for values in ('a', 'ä', null);

create table parent (a integer, b text default 'p');
create table child (c integer) inherits (parent);
alter table child alter column b set default 'c';
create unlogged table scratch (n integer primary key) with (fillfactor = 70, autovacuum_enabled = off);
create table booking (room integer, during tsrange, exclude using gist (room with =, during with &&));
create type typed_row as (x integer, y text);
create table typed of typed_row (x with options primary key);
create table "Odd ""Table"" ü, with; everything" ("select" integer, "a b" text, "c""d" text);
create table no_columns ();
create table self_reference (id integer primary key, up integer references self_reference);
create table not_checked (id integer);
alter table not_checked add constraint later check (id > 5) not valid;
create table circle_a (id integer primary key, b integer);
create table circle_b (id integer primary key, a integer references circle_a);
alter table circle_a add foreign key (b) references circle_b;

create view active as select id, name from customer where born is not null with local check option;
create recursive view numbers (n) as values (1) union all select n + 1 from numbers where n < 10;
create view uses_function with (security_barrier) as select add(id::integer) as more from customer;
create materialized view totals as select customer, count(*) as n from orders group by customer with no data;
create unique index on totals (customer);
create materialized view second_level as select sum(n) as s from totals with no data;
create rule no_delete as on delete to active do instead nothing;
create function insert_active() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger into_view instead of insert on active for each row execute function insert_active();
grant select on active, totals to rich_reader;
alter default privileges in schema shop grant select on tables to rich_reader;

create text search configuration shop_search (copy = pg_catalog.english);
alter text search configuration shop_search alter mapping for asciiword with simple;
reset role;

create cast (integer as shop.mood) with inout;
create operator class shop.text_class for type text using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 bttextcmp(text, text);
create function shop.on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watch on ddl_command_end when tag in ('CREATE TABLE') execute function shop.on_ddl();
alter event trigger watch disable;
create server elsewhere foreign data wrapper postgres_fdw options (host 'localhost', dbname 'x');
create user mapping for rich_owner server elsewhere options (user 'u', password 'p');
create foreign table shop.remote (a integer) server elsewhere options (table_name 't');
create publication feed for table shop.customer (id, name), shop.listed with (publish = 'insert, update');
comment on publication feed is 'to others';
create table "Odd ""Schema"" ü; Type: TABLE".t (a integer primary key, n shop."Weird.Type;");
alter table shop.self_reference cluster on self_reference_pkey;
alter table shop.circle_a replica identity full;

insert into shop.customer (name, mail, born, feeling, lives, worth, h, bits, secret)
  select 'name ' || i || E'\t\\\n', 'a' || i || '@b', date '1990-01-01' + i, (array['sad', 'ok', 'it''s "great"']::shop.mood[])[1 + i % 3],
    row('street ' || i, i, array['x', null, 'a,b'])::shop.address, i + 1, hstore_value, b'101', decode(md5(i::text), 'hex')
  from generate_series(1, 500) i, lateral (select ('k=>' || i)::shop.hstore as hstore_value) h;
insert into shop.orders (customer, placed, during, amounts)
  select 10 + 5 * (i % 500), timestamp '2023-12-01' + i * interval '1 hour', tsrange('2024-01-01', null), array[shop.price_range(i, i + 1)] from generate_series(1, 20000) i;
insert into shop.listed values ('a', 1), ('ä', 2), (null, 3);
insert into shop.parent values (1, 'p'), (2, null);
insert into shop.child values (3, 'c', 4);
insert into shop.scratch select generate_series(1, 10);
insert into shop.booking values (1, '[2024-01-01, 2024-01-02)');
insert into shop.typed values (1, 'y');
insert into shop."Odd ""Table"" ü, with; everything" values (1, 'b', E'\\.'), (null, '', null);
insert into shop.no_columns default values;
insert into shop.no_columns default values;
insert into shop.self_reference values (2, null), (1, 2);
begin;
insert into shop.circle_a values (1, null);
insert into shop.circle_b values (1, 1);
update shop.circle_a set b = 1;
commit;
insert into "Odd ""Schema"" ü; Type: TABLE".t values (1, 'a;b');
refresh materialized view shop.totals;
refresh materialized view shop.second_level;
select lo_from_bytea(987654, decode(repeat('00ff5c', 200000), 'hex'));
comment on large object 987654 is 'a large one';
grant select on large object 987654 to rich_reader;
alter large object 987654 owner to rich_owner;
