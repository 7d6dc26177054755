/** External connections: named URIs with their credentials, cluster-wide. Whether the asker may is not asked here: see `privileges.ts`. */
import { randomUUID } from 'node:crypto';
import { PgPierError } from '../errors.ts';
import type { Roles } from './roles.ts';
import type { Secret } from './secrets.ts';
import { exists, pendingElsewhere } from './settle.ts';
import type { Store } from './transaction.ts';

/** What a connection may be used for (spec: §1.1). */
export type ConnectionType = 'STORAGE' | 'KMS' | 'FOREIGNDATA';

export interface ExternalConnection {
  readonly id: string;
  readonly name: string;
  readonly type: ConnectionType;
  /** CockroachDB's word for the provider: `s3`, `nodelocal`, … */
  readonly provider: string;
  /** The oid of the role that made it. */
  readonly owner: number;
  /** The oid of the role that wrote the URI, which ALTER changes: what the URI may reach is judged by this role's rights. */
  readonly author: number;
  /** Another one with every ALTER. */
  readonly version: string;
  /** The whole URI, credentials included; decrypted when asked for, so that a damaged one can still be dropped. Throws `secretUnreadable`. */
  readonly uri: Secret;
  /** The same place with other credentials, for when those of `uri` are refused. */
  readonly fallback: Fallback | undefined;
}

export interface Fallback {
  /** Decrypted when asked for. Throws `secretUnreadable`. */
  readonly uri: Secret;
  /** The oid of the role that wrote it. */
  readonly author: number;
}

export interface NewExternalConnection {
  readonly name: string;
  readonly type: ConnectionType;
  readonly provider: string;
  readonly uri: Secret;
}

interface Row {
  connection_id: string;
  name: string;
  type: ConnectionType;
  provider: string;
  owner: number;
  author: number;
  uri_id: string;
  uri: Buffer;
  fallback: Buffer | null;
  fallback_author: number | null;
}

/** What ALTER replaces as a whole. */
type Version = Pick<ExternalConnection, 'provider' | 'uri' | 'author' | 'fallback'>;

const visible = `select c.connection_id, c.name, c.type, c.owner, u.provider, u.author, u.uri_id, u.uri, u.fallback, u.fallback_author
  from pgpier.external_connection c join pgpier.connection_uri u on u.connection_id = c.connection_id
  where ${exists('c')} and ${exists('u')}`;

export class ExternalConnections {
  readonly #store: Store;
  readonly #roles: Roles;

  constructor(store: Store, roles: Roles) {
    this.#store = store;
    this.#roles = roles;
  }

  /** Case-sensitive and exact; undefined when there is none that this session can see. Throws `connectionNameInvalid`. */
  async find(name: string): Promise<ExternalConnection | undefined> {
    requireName(name);
    const [row] = await this.#store.read<Row>(`${visible} and c.name = $4`, [name]);
    return row === undefined ? undefined : this.#read(row);
  }

  /** In the order of their names' characters. */
  async list(): Promise<readonly ExternalConnection[]> {
    const rows = await this.#store.read<Row>(`${visible} order by c.name collate pg_catalog."C"`);
    return rows.map((row) => this.#read(row));
  }

  /** Undefined when the name is taken. Throws `changePending` while another session makes or drops one of that name. */
  async create(connection: NewExternalConnection): Promise<ExternalConnection | undefined> {
    const { name, type, provider, uri } = connection;
    await this.lockName(name);
    if ((await this.find(name)) !== undefined) return undefined;
    const { oid: owner } = await this.#roles.asker();
    const id = randomUUID();
    await this.#store.write(
      `insert into pgpier.external_connection (connection_id, name, type, owner, created_xid, created_session) values ($1, $2, $3, $4, $5, $6)`,
      [id, name, type, owner, ...this.#marker()],
    );
    const version = await this.#insertVersion(id, { provider, uri, author: owner, fallback: undefined });
    return { id, name, type, provider, owner, author: owner, version, uri, fallback: undefined };
  }

  /** Replaces what it leads to; name, type, owner and rights stay. Call `lockName` before `find`, so that what was found is still so. */
  async alter(
    connection: ExternalConnection,
    { provider, uri, fallback }: Pick<NewExternalConnection, 'provider' | 'uri'> & Pick<ExternalConnection, 'fallback'>,
  ): Promise<void> {
    const { oid: author } = await this.#roles.asker();
    await this.#replaceVersion(connection, { provider, uri, author, fallback });
  }

  /** Gives it a second set of credentials, or takes it away. As `alter`. */
  async setFallback(connection: ExternalConnection, uri: Secret | undefined): Promise<void> {
    const { oid: author } = await this.#roles.asker();
    const { provider, uri: first, author: firstAuthor } = connection;
    await this.#replaceVersion(connection, { provider, uri: first, author: firstAuthor, fallback: uri && { uri, author } });
  }

  async #replaceVersion({ id }: ExternalConnection, version: Version): Promise<void> {
    const versions = await this.#store.read<{ uri_id: string }>(
      `select u.uri_id from pgpier.connection_uri u where u.connection_id = $4 and ${exists('u')}`,
      [id],
    );
    const old = versions.map(({ uri_id }) => uri_id);
    if (this.#store.view.stamp.kind === 'immediate') {
      await this.#store.write('delete from pgpier.connection_uri where uri_id = any($1::pg_catalog.uuid[])', [old]);
    } else {
      const text = 'update pgpier.connection_uri set dropped_xid = $2, dropped_session = $3 where uri_id = any($1::pg_catalog.uuid[])';
      await this.#store.write(text, [old, ...this.#marker()]);
    }
    await this.#insertVersion(id, version);
  }

  async #insertVersion(id: string, { provider, uri, author, fallback }: Version): Promise<string> {
    const version = randomUUID();
    const { keyring } = this.#store;
    await this.#store.write(
      `insert into pgpier.connection_uri (uri_id, connection_id, provider, uri, author, fallback, fallback_author, created_xid, created_session)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        version,
        id,
        provider,
        keyring.encrypt(place(id, 'uri'), uri),
        author,
        fallback === undefined ? null : keyring.encrypt(place(id, 'fallback'), fallback.uri),
        fallback?.author ?? null,
        ...this.#marker(),
      ],
    );
    return version;
  }

  /** Transaction and session that a pending row waits for; null where nothing is at stake. */
  #marker(): readonly [string | null, string | null] {
    const { stamp, session } = this.#store.view;
    return stamp.kind === 'transaction' ? [stamp.xid, session] : [null, null];
  }

  /** With every right on it. Call `lockName` before `find`, so that what was found is still so. */
  async drop(connection: ExternalConnection): Promise<void> {
    const { stamp, session } = this.#store.view;
    const [text, values] =
      stamp.kind === 'immediate'
        ? ['delete from pgpier.external_connection where connection_id = $1', []]
        : ['update pgpier.external_connection set dropped_xid = $2, dropped_session = $3 where connection_id = $1', [stamp.xid, session]];
    await this.#store.write(text as string, [connection.id, ...(values as string[])]);
  }

  /** Makes this the only session that changes the connection or its rights. Throws `changePending`, at once. */
  async lockName(name: string): Promise<void> {
    requireName(name);
    const what = `external_connection ${name}`;
    await this.#store.lock(`external_connection/${name}`, what);
    // With nothing of its own at stake, a session's own pending rows are those of a prepared transaction.
    const others = pendingElsewhere('c', this.#store.view.stamp.kind === 'immediate');
    const changed = pendingElsewhere('u', this.#store.view.stamp.kind === 'immediate');
    const rows = await this.#store.read(
      `select from pgpier.external_connection c left join pgpier.connection_uri u on u.connection_id = c.connection_id
       where c.name = $4 and (${others} or ${changed})`,
      [name],
    );
    if (rows.length > 0) throw new PgPierError('changePending', { what });
  }

  #read(row: Row): ExternalConnection {
    const { connection_id: id, name, type, provider, owner, author } = row;
    const { keyring } = this.#store;
    const fallbackOf = (stored: Buffer, by: number): Fallback => ({
      author: by,
      get uri() {
        return keyring.decrypt(place(id, 'fallback'), stored);
      },
    });
    return {
      id,
      name,
      type,
      provider,
      owner,
      author,
      version: row.uri_id,
      get uri() {
        return keyring.decrypt(place(id, 'uri'), row.uri);
      },
      fallback: row.fallback === null ? undefined : fallbackOf(row.fallback, row.fallback_author!),
    };
  }
}

/**
 * A URI in the place of a name is a slip, and may hold a secret: it gets into no query, whose values the server may log, and into no text.
 * Throws `connectionNameInvalid`.
 */
export function requireName(name: string): void {
  if (name.includes('://')) throw new PgPierError('connectionNameInvalid', { reason: 'a URI stands where a name is expected' });
}

function place(id: string, column: 'uri' | 'fallback'): string {
  return `external_connection/${id}/${column}`;
}
