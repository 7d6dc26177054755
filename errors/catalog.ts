/** The catalog, its key, external connections and the rights to them. */
import type { ErrorEntry } from './entry.ts';

export const catalogErrors = {
  // The catalog: reaching it, its key.
  catalogUnavailable: {
    sqlstate: '57P03',
    text: "PgPier's catalog is not available ({reason})",
    hint: "PostgreSQL's own statements are forwarded all the same. PgPier's log says more.",
  },
  catalogNewer: {
    sqlstate: '55000',
    text: 'the catalog is at migration {found}, this program knows no more than {known}',
    hint: 'Another proxy of a newer version has migrated it. Run that version, or a newer one, here too.',
  },
  catalogOwner: {
    sqlstate: '42501',
    text: 'the {what} pgpier of the catalog belongs to role "{owner}", which is neither the service login nor a superuser',
    hint: 'Its owner could read and change every right. Give it to the service login: ALTER DATABASE (or SCHEMA) pgpier OWNER TO …',
  },
  catalogOfAnotherCluster: {
    sqlstate: '55000',
    text: 'the catalog belongs to another cluster: its system identifier is {found}, the one behind PgPier has {expected}',
    hint: 'Rights belong to role oids, which mean other roles here. Where they are known to be the same (after pg_upgrade), run in the catalog: UPDATE pgpier.cluster SET system_identifier = NULL',
  },
  secretKeyInvalid: {
    sqlstate: 'F0000',
    text: 'the secret key from {origin} is not 32 bytes in base64 or hex',
    hint: 'Make one with: openssl rand -base64 32',
  },
  secretKeyFile: { sqlstate: 'F0000', text: 'the key file {path} cannot be used: {reason}' },
  secretKeyFileMode: {
    sqlstate: 'F0000',
    text: 'the key file {path} has mode {mode}: others than its owner can get at it',
    hint: 'chmod 600, and think about who may have read it.',
  },
  secretKeyMissing: {
    sqlstate: '55000',
    text: 'there is {where}, and the catalog needs its key to store and read credentials',
    hint: 'Give the key that the catalog was made with, or, for a catalog without any connections, a new one from: openssl rand -base64 32',
  },
  secretKeyMismatch: {
    sqlstate: '55000',
    text: "the secret key is not the catalog's: its fingerprint is {given}, the catalog was made with {expected}",
    hint: 'Credentials in the catalog can be read with the key alone that they were written with. Nothing was changed.',
  },
  secretUnreadable: {
    sqlstate: 'XX001',
    text: 'the encrypted value {place} in the catalog cannot be read: it was changed, moved or written with another key',
  },
  changePending: {
    sqlstate: '55P03',
    text: 'another transaction that has not ended is changing {what}',
    hint: 'Try again when it has committed or rolled back.',
  },

  // External connections and the rights to them.
  roleMissing: { sqlstate: '42704', text: 'role "{role}" does not exist' },
  privilegeMissing: { sqlstate: '42501', text: 'user {role} does not have {privilege} privilege on external_connection {connection}' },
  grantOptionMissing: {
    sqlstate: '42501',
    text: 'user {role} missing WITH GRANT OPTION privilege on one or more of {privileges}',
  },
  grantOptionToPublic: { sqlstate: '0LP01', text: 'grant options can only be granted to roles' },
  privilegeType: { sqlstate: '0LP01', text: 'invalid privilege type {privilege} for {object}' },
  createConnectionDenied: {
    sqlstate: '42501',
    text: 'only users with the EXTERNALCONNECTION system privilege are allowed to CREATE EXTERNAL CONNECTION',
  },
  connectionNameInvalid: { sqlstate: '42602', text: 'failed to resolve External Connection name: {reason}' },
  connectionUriUnreadable: { sqlstate: '22023', text: 'failed to log and sanitize External Connection: {reason}' },
  connectionSchemeUnknown: {
    sqlstate: '22023',
    text: 'failed to construct External Connection details: no parseAndValidateFn found for external connection provider {scheme}',
    hint: 'docs/connections.md lists the schemes.',
  },
  /** The cause keeps its own SQLSTATE and hint. */
  connectionRejected: {
    sqlstate: '22023',
    text: 'failed to construct External Connection details: failed to create {provider} external connection: {cause}',
  },
  sinkRejected: {
    sqlstate: '22023',
    text: 'failed to construct External Connection details: invalid changefeed sink URI: {cause}',
  },
  connectionExists: {
    sqlstate: '42710',
    text: "failed to create external connection: external connection with connection name '{name}' already exists",
  },
  createDatabendConnectionDenied: {
    sqlstate: '42501',
    text: 'Permission denied: privilege [CreateConnection] is required on *.*',
    hint: 'An admin can grant it: GRANT SYSTEM EXTERNALCONNECTION TO role.',
  },
  databendConnectionExists: { sqlstate: '42710', text: "Connection '{name}' already exists." },
  databendConnectionMissing: { sqlstate: '42704', text: "Connection '{name}' does not exist." },
  replaceIfNotExists: { sqlstate: '42601', text: 'OR REPLACE and IF NOT EXISTS cannot be used together' },
  storageTypeMissing: {
    sqlstate: '42601',
    text: 'STORAGE_TYPE is missing',
    hint: "For example: CREATE CONNECTION c STORAGE_TYPE = 's3' ACCESS_KEY_ID = '…' …",
  },
  storageTypeUnknown: { sqlstate: '22023', text: 'invalid input parameter (protocol {type} is not supported yet.)' },
  storageEndpointMissing: { sqlstate: '22023', text: 'invalid input parameter (endpoint_url is required for storage {type})' },
  connectionKeyUnknown: {
    sqlstate: '22023',
    text: 'invalid input parameter (connection params invalid: expected [{expected}], got [{got}])',
  },
  connectionKeyRefused: { sqlstate: '0A000', text: '{key} is not supported: {reason}' },
  connectionKeyInvalid: { sqlstate: '22023', text: 'invalid value for {key}: {reason}' },
  connectionBucketMissing: {
    sqlstate: '22023',
    text: 'connection {name} names no bucket',
    hint: 'Write the bucket behind the name: external://name/bucket/path.',
  },
  namedConnectionsOnly: {
    sqlstate: '42501',
    text: 'only admins may write URIs of storages on this server',
    hint: "Name an external connection: 'external://name/path'. SHOW EXTERNAL CONNECTIONS lists those that you may use.",
  },
  connectionMissing: { sqlstate: '42704', text: 'external connection with name {name} does not exist' },
  connectionNotResolved: {
    sqlstate: '42704',
    text: 'failed to resolve External Connection: external connection with name {name} does not exist',
  },
  connectionNotLoaded: {
    sqlstate: '42704',
    text: 'failed to load external connection object: external connection with name {name} does not exist',
  },
  connectionHostEmpty: {
    sqlstate: '22023',
    text: 'host component of an external URI must refer to an existing External Connection object: {uri}',
  },
  connectionTypeFixed: {
    sqlstate: '42809',
    text: 'external connection {name} is of type {type}, and the new URI of type {wanted}',
    hint: 'DROP and CREATE it, or choose another name: whoever uses it relies on its type.',
  },
  connectionNotStorage: {
    sqlstate: '42809',
    text: 'external connection {name} leads to {scheme}://, which is no storage',
    hint: 'docs/connections.md tells which schemes hold files.',
  },
  fallbackNotStorage: { sqlstate: '0A000', text: 'a second set of credentials is for storages alone' },
  fallbackElsewhere: {
    sqlstate: '22023',
    text: 'the second set of credentials of external connection {name} must lead to the place that the connection leads to',
    hint: 'Scheme, host, path and endpoint are those of its URI; SHOW EXTERNAL CONNECTION prints it.',
  },
  fallbackSame: { sqlstate: '22023', text: 'the second set of credentials of external connection {name} is its first one' },
  connectionInUse: {
    sqlstate: '2BP01',
    text: 'cannot drop external connection {name} because other objects depend on it',
    hint: 'Let jobs end, or CANCEL them; or drop it without RESTRICT: they fail then.',
  },
  connectionTypeMismatch: { sqlstate: '42809', text: '{wanted} cannot use object of type {found}' },
  showConnectionDenied: { sqlstate: '42501', text: 'must have USAGE privilege or be owner of the External Connection "{name}"' },
  showCreateConnectionDenied: {
    sqlstate: '42501',
    text: 'must have VIEWCLUSTERMETADATA privilege or be owner of the External Connection "{name}"',
  },
  showCreateAllDenied: {
    sqlstate: '42501',
    text: 'must have VIEWCLUSTERMETADATA privilege to run `SHOW CREATE ALL EXTERNAL CONNECTIONS`',
  },
  implicitAccessDenied: {
    sqlstate: '42501',
    text: 'only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified {provider} URI',
  },

  internal: { sqlstate: 'XX000', text: 'internal error: {detail}', hint: 'This is a defect of PgPier. Please report it.' },
} as const satisfies Record<string, ErrorEntry>;
