-- Jobs: what a long statement has become. The row is the one truth about a job's state; a queue only carries its id.

create table pgpier.job (
  -- Made by us from the time, so that a catalog made anew does not use an id again: ids stand in the names of files.
  job_id bigint primary key,
  type text not null,
  -- The statement without its secrets.
  description text not null,
  -- The oid of the role that asked, and (asker) all that its session said then.
  owner oid not null,
  asker json not null,
  detached boolean not null,
  -- PGPIER_NODE_ID of the only workers that may carry it out, because its files are theirs. Null: any.
  node bigint,
  -- Encrypted: URIs carry credentials. Emptied when the job has ended.
  payload bytea not null,
  state text not null check (state in ('pending', 'running', 'pause-requested', 'paused', 'cancel-requested', 'reverting',
    'succeeded', 'failed', 'canceled', 'revert-failed')),
  -- What a job that is being taken back ends as.
  ending text check (ending in ('failed', 'canceled')),
  pause_reason text,
  running_status text,
  fraction double precision,
  rows bigint,
  -- Notices for the client that waits: JSON texts, in order.
  notices text[] not null default '{}',
  -- ErrorData (errors.ts).
  error json,
  result json,
  checkpoint json,
  created timestamptz not null default pg_catalog.clock_timestamp(),
  started timestamptz,
  finished timestamptz,
  modified timestamptz not null default pg_catalog.clock_timestamp(),
  -- Who carries it out, until when that counts without a sign of life, and the number that each of its writes has to name. `worker` null: handed back, or
  -- never taken. `lease_until` without a worker: not to be taken before.
  worker uuid,
  lease_until timestamptz,
  fence bigint not null default 0,
  attempt integer not null default 0,
  -- Attempts whose worker was lost. A RESUME begins to count anew, and so does taking back.
  deaths integer not null default 0,
  -- PGPIER_NODE_ID of the worker.
  coordinator bigint,
  created_xid xid8,
  created_session uuid,
  check ((created_xid is null) = (created_session is null)),
  check ((finished is null) = (state not in ('succeeded', 'failed', 'canceled', 'revert-failed')))
);
create index job_unfinished on pgpier.job (job_id) where finished is null;
create index job_finished on pgpier.job (finished) where finished is not null;
create index job_unsettled on pgpier.job (job_id) where created_xid is not null;

-- The queue's own (jobs/queue/doorbell.ts). Made here, so that nobody else can have made it before.
create schema if not exists pgpier_queue;
