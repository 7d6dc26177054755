/**
 * Every error of ours, in one table: name, SQLSTATE, text, hint. `docs/errors.md` describes each; a test ties the two together.
 * `{…}` in a text is filled from the values given to `PgPierError`. Words that users match on follow CockroachDB's (spec: external
 * connections); every SQLSTATE is the one PostgreSQL would use for the same kind of mistake. The file is long because it is the one place
 * where all of them can be read side by side.
 */
interface ErrorEntry {
  readonly sqlstate: string;
  readonly text: string;
  readonly hint?: string;
}

export const errors = {
  syntaxError: { sqlstate: '42601', text: 'syntax error at or near "{near}"' },
  syntaxErrorAtEnd: { sqlstate: '42601', text: 'syntax error at end of input' },
  unterminatedLiteral: { sqlstate: '42601', text: 'unterminated {what}' },
  invalidUnicodeEscape: { sqlstate: '22025', text: 'invalid Unicode escape' },
  invalidByteSequence: { sqlstate: '22021', text: 'invalid byte sequence in a string literal' },
  multipleCommands: { sqlstate: '42601', text: 'cannot insert multiple commands into a prepared statement' },
  mixedStatements: {
    sqlstate: '0A000',
    text: "PgPier's statements and PostgreSQL's cannot be sent in one query string",
    hint: 'Nothing was run. Send each statement on its own.',
  },
  notSupported: { sqlstate: '0A000', text: '{what} is not supported yet' },
  readOnlyTransaction: { sqlstate: '25006', text: 'cannot execute {statement} in a read-only transaction' },
  insideTransaction: {
    sqlstate: '25001',
    text: '{statement} cannot run inside a transaction block',
    hint: 'Run it on its own, outside BEGIN … COMMIT and not in one query string with other statements.',
  },
  insideTransactionNotDetached: {
    sqlstate: '25001',
    text: '{statement} cannot be used inside a multi-statement transaction without DETACHED option',
    hint: 'Run it on its own, or WITH detached: then the job begins when the transaction commits.',
  },
  // Options of a statement (WITH …).
  unknownOption: { sqlstate: '42601', text: 'invalid option "{option}"' },
  repeatedOption: { sqlstate: '42601', text: 'option "{option}" is given more than once' },
  optionRequiresValue: { sqlstate: '42601', text: 'option "{option}" requires a value' },
  invalidOptionValue: { sqlstate: '22023', text: 'invalid value for option "{option}": {reason}' },

  // Worker processes and the logins of jobs. No class 08, which drivers take as the end of the client's own connection.
  workersStopped: { sqlstate: '57P01', text: 'PgPier is shutting down', hint: 'Try again once it is back.' },
  workersBusy: {
    sqlstate: '53000',
    text: 'no worker process was free for {minutes} minutes',
    hint: 'Start PgPier with more --workers, or wait for the running statements.',
  },
  workerEnded: {
    sqlstate: '58000',
    text: 'the worker process ended while it ran {task}',
    hint: 'What it had written was removed unless a warning says otherwise. A new worker process has taken its place: try again.',
  },
  jobLoginDenied: { sqlstate: '42501', text: 'permission denied to create the short-lived login of a job for role "{role}"' },
  jobBackendUnreachable: { sqlstate: '57P03', text: 'a worker process could not log in to PostgreSQL: {reason}' },
  jobBackendLost: { sqlstate: '58000', text: 'the connection to PostgreSQL was lost during {task}' },
  jobBackendProtocol: { sqlstate: '58000', text: 'PostgreSQL sent something unexpected during {task}: {detail}' },

  // Jobs.
  jobMissing: { sqlstate: '42704', text: 'job with ID {id} does not exist' },
  jobIdInvalid: { sqlstate: '22P02', text: 'invalid job ID: "{id}"', hint: 'SHOW JOBS lists them.' },
  jobStateRefuses: { sqlstate: '55000', text: 'job with status {state} cannot be {what}' },
  jobControlDenied: { sqlstate: '42501', text: 'user {role} does not have privileges for job {id}' },
  jobCanceled: { sqlstate: '57014', text: 'job {id} was canceled' },
  jobRevertFailed: {
    sqlstate: '58000',
    text: 'job {id} failed, and what it had done could not be taken back: {reason}',
    hint: 'Part of its work may be left behind.',
  },
  jobTakenOver: { sqlstate: '57P01', text: "job {id} is now another worker's" },
  jobLeaseLost: { sqlstate: '57P01', text: 'job {id} was given up because the catalog did not answer in time' },
  jobPaused: {
    sqlstate: '57014',
    text: 'job {id} was paused before it completed',
    hint: 'RESUME JOB lets it go on, SHOW JOB WHEN COMPLETE waits for it.',
  },
  jobWorkersLost: {
    sqlstate: '58000',
    text: 'job {id} was given up: its worker process was lost {count} times',
    hint: "PgPier's log may say more: a process that runs out of memory is ended by the operating system without a word.",
  },
  jobWaitTooLong: { sqlstate: '57014', text: 'job {id} did not end within 24 hours; it goes on' },
  jobKindUnknown: { sqlstate: '0A000', text: 'this version of PgPier cannot carry out jobs of type {type}' },

  // The schema of a backup.
  pgDumpFailed: { sqlstate: '58000', text: 'pg_dump failed: {reason}' },
  pgDumpTooOld: {
    sqlstate: '0A000',
    text: 'there is no pg_dump for PostgreSQL {major}',
    hint: 'Install a pg_dump of this major or a newer one where the worker runs.',
  },

  // BACKUP.
  backupSelectDenied: { sqlstate: '42501', text: 'user {role} does not have SELECT privilege on relation {name}' },
  backupTableMissing: { sqlstate: '42P01', text: 'table "{name}" does not exist' },
  backupOneDatabase: {
    sqlstate: '0A000',
    text: 'BACKUP TABLE takes tables of one database',
    hint: 'PostgreSQL has no snapshot across databases: back up each by itself.',
  },
  backupTablesChange: {
    sqlstate: '55006',
    text: 'tables were made and dropped faster than BACKUP could lock them',
    hint: 'Try again when less is going on.',
  },
  backupTableLocked: {
    sqlstate: '55P03',
    text: 'a table was locked by another session for {seconds} seconds',
    hint: 'pg_locks tells by whom: ALTER TABLE, TRUNCATE, VACUUM FULL and the like wait for each other with a backup.',
  },
  backupIncomplete: { sqlstate: '58000', text: 'PostgreSQL sent {received} rows of {expected}' },

  // RESTORE.
  restoreRefused: {
    sqlstate: '42501',
    text: 'the schema of the backup holds {what}, which no backup of PgPier does',
    hint: 'Nothing was restored. Somebody may have changed the backup.',
  },
  restoreSyntax: { sqlstate: '42601', text: 'the schema of the backup cannot be read: {reason}' },
  restoreServerOlder: {
    sqlstate: '0A000',
    text: 'a backup of PostgreSQL {backup} cannot be restored to PostgreSQL {server}',
    hint: 'Restore it to a server of the same major version or a newer one.',
  },
  restoreCreateDbDenied: { sqlstate: '42501', text: 'only users with the CREATEDB privilege can restore databases' },
  restoreDatabaseExists: {
    sqlstate: '42P04',
    text: 'database "{name}" already exists',
    hint: "Drop it, or restore under another name: WITH new_db_name = '…'.",
  },
  restoreDatabaseMissing: { sqlstate: '3D000', text: 'database "{name}" is not in the backup', hint: 'SHOW BACKUP lists what is.' },
  restoreTargetMissing: {
    sqlstate: '3D000',
    text: 'a database named "{name}" needs to exist',
    hint: "Make it, or name another one: WITH into_db = '…'.",
  },
  restoreTableMissing: { sqlstate: '42P01', text: 'table "{name}" is not in the backup', hint: 'SHOW BACKUP lists what is.' },
  restoreRelationExists: { sqlstate: '42P07', text: 'relation "{name}" already exists' },
  restoreReferencedTable: {
    sqlstate: '42P01',
    text: 'cannot restore table "{table}" without referenced table "{referenced}" (or "skip_missing_foreign_keys" option)',
  },
  restoreOneDatabase: { sqlstate: '0A000', text: 'RESTORE TABLE takes tables of one database' },
  restoreRolesMissing: {
    sqlstate: '42704',
    text: 'the backup names roles that do not exist: {roles}',
    hint: 'Make them, or restore without the option grants.',
  },
  restoreNewDbName: { sqlstate: '42601', text: 'new_db_name can only be used for RESTORE DATABASE with a single target database' },
  restoreIntoDb: { sqlstate: '42601', text: 'into_db can only be used for RESTORE TABLE' },

  // EXPORT.
  exportNull: {
    sqlstate: '22004',
    text: 'NULL value encountered during EXPORT, use `WITH nullas` to specify the string representation of NULL',
  },
  exportOneQuery: { sqlstate: '42601', text: 'EXPORT takes one SELECT, VALUES, TABLE or WITH query' },
  exportQueryKind: { sqlstate: '0A000', text: '{what} is not supported in EXPORT' },
  exportQueryTooDeep: { sqlstate: '54001', text: 'the query of EXPORT is nested too deeply to be read' },
  exportBackslash: {
    sqlstate: '0A000',
    text: 'EXPORT cannot read a query with backslashes while standard_conforming_strings is off',
    hint: "Set standard_conforming_strings to on, or write such strings as E'…'.",
  },
  parameterType: { sqlstate: '42704', text: 'type with OID {oid} of parameter ${number} does not exist' },
  exportIncomplete: { sqlstate: '58000', text: 'EXPORT received {received} rows where PostgreSQL reported {expected}' },
  damagedFile: { sqlstate: 'XX001', text: 'the file "{path}" is damaged: {reason}' },

  // Backups.
  backupLatestMissing: {
    sqlstate: '58P01',
    text: 'path does not contain a completed latest backup',
    hint: 'Its URI may be another one, or no backup has been finished there: SHOW BACKUPS IN lists what it holds.',
  },
  backupMissing: {
    sqlstate: '58P01',
    text: 'the collection holds no finished backup "{folder}"',
    hint: 'SHOW BACKUPS IN lists those that it holds.',
  },
  backupFolderTaken: {
    sqlstate: '55P03',
    text: 'no folder from "{folder}" on is free for a new backup: others are being written at the same time',
    hint: 'Try again.',
  },
  manifestInvalid: { sqlstate: 'XX001', text: 'the manifest of the backup "{folder}" is broken: {reason}' },
  manifestNewer: {
    sqlstate: '0A000',
    text: 'the backup "{folder}" has format version {found}, this program reads no newer one than {known}',
    hint: 'Use a newer PgPier.',
  },
  backupFilesMissing: { sqlstate: '58P01', text: 'The following files are missing from the backup:{files}' },
  backupFilesWrongSize: {
    sqlstate: 'XX001',
    text: 'The following files of the backup have another size than they had when it was written:{files}',
  },
  backupTimeInvalid: {
    sqlstate: '22007',
    text: 'invalid time behind {clause}',
    hint: "Write a time such as '2026-04-18 08:42:11+00', a folder such as '2026/04/18-084211.25', or a span before now such as '-36h' or '-7d'.",
  },

  // Login and the listener; all FATAL. Words as PostgreSQL's where it has the same error.
  unsupportedProtocol: { sqlstate: '0A000', text: 'unsupported frontend protocol {version}: server supports 3.0 to 3.2' },
  startupPacketLayout: { sqlstate: '08P01', text: 'invalid startup packet layout: expected terminator as last byte' },
  unencryptedData: { sqlstate: '08P01', text: 'received unencrypted data after {request} request' },
  expectedPassword: { sqlstate: '08P01', text: 'expected {what} response, got message type {type}' },
  invalidPasswordPacket: { sqlstate: '08P01', text: 'invalid password packet size' },
  saslTooShort: { sqlstate: '08P01', text: 'insufficient data left in message' },
  saslTooLong: { sqlstate: '08P01', text: 'invalid message format' },
  emptyPassword: { sqlstate: '28P01', text: 'empty password returned by client' },
  saslMechanism: { sqlstate: '08P01', text: 'client selected an invalid SASL authentication mechanism' },
  tlsRequired: { sqlstate: '28000', text: 'this server accepts encrypted connections alone', hint: 'Connect with sslmode=require.' },
  loopbackOnly: {
    sqlstate: '28000',
    text: 'connections from other machines are refused',
    hint: 'The server behind PgPier asks for no password. Set PGPIER_PASSWORD to accept clients from elsewhere.',
  },
  backendAsksNothing: {
    sqlstate: '28000',
    text: 'the server behind PgPier let the connection in without asking for a password',
    hint: "Everybody who reaches PgPier would be anybody there. Let pg_hba.conf ask PgPier's address for scram-sha-256, or say that this is meant in PgPier's configuration.",
  },
  scramMalformed: { sqlstate: '08P01', text: 'malformed SCRAM message' },
  scramBindingType: { sqlstate: '08P01', text: 'unsupported SCRAM channel-binding type "{type}"' },
  scramBindingNegotiation: { sqlstate: '28000', text: 'SCRAM channel binding negotiation error' },
  scramBindingCheck: { sqlstate: '28000', text: 'SCRAM channel binding check failed' },
  scramBindingAttribute: { sqlstate: '08P01', text: 'unexpected SCRAM channel-binding attribute in client-final-message' },
  scramAuthorizationIdentity: { sqlstate: '0A000', text: 'client uses authorization identity, but it is not supported' },
  scramExtension: { sqlstate: '0A000', text: 'client requires an unsupported SCRAM extension' },
  scramNonceCharacters: { sqlstate: '08P01', text: 'non-printable characters in SCRAM nonce' },
  scramResponse: { sqlstate: '08P01', text: 'invalid SCRAM response' },
  scramOnly: {
    sqlstate: '28000',
    text: 'the backend asks for {method} authentication, and PgPier is set to SCRAM alone',
    hint: "Let pg_hba.conf ask PgPier's address for scram-sha-256, and set the role's password anew if it is stored as MD5.",
  },
  verifierUnreadable: {
    sqlstate: '57P03',
    text: 'PgPier cannot read password verifiers from the backend at the moment',
    hint: "PgPier's log has the reason.",
  },
  scramOverTwoTlsLegs: {
    sqlstate: '28000',
    text: 'SCRAM cannot be passed through where both the client and the backend connection are encrypted',
    hint: 'Let PGPIER_AUTH be auto, scram or password, or leave one of the two connections unencrypted (a unix socket to the backend).',
  },
  clientCertificateMissing: { sqlstate: '28000', text: 'connection requires a valid client certificate' },
  clientCertificateRole: { sqlstate: '28000', text: 'certificate authentication failed for user "{role}"' },
  cleartextRefused: {
    sqlstate: '28000',
    text: 'the backend asks for a password in clear text, and the {leg} connection is not encrypted',
    hint: 'Encrypt it, or let pg_hba.conf ask for scram-sha-256.',
  },
  authenticationMethod: {
    sqlstate: '28000',
    text: 'the backend asks for {method} authentication, which PgPier cannot carry',
    hint: "Let pg_hba.conf ask PgPier's address for scram-sha-256.",
  },
  backendScram: { sqlstate: '28000', text: "the backend's part of the SCRAM exchange is not valid: {reason}" },
  backendUnreachable: { sqlstate: '08001', text: 'could not connect to the backend: {reason}' },
  backendClosedLogin: { sqlstate: '08006', text: 'the backend closed the connection during login' },
  backendLoginProtocol: { sqlstate: '08P01', text: 'the backend sent something unexpected during login: {detail}' },
  loginTimeout: { sqlstate: '57014', text: 'canceling authentication due to timeout' },
  listenerStopping: { sqlstate: '57P03', text: 'PgPier is shutting down' },
  tooManyConnections: { sqlstate: '53300', text: 'sorry, too many clients already' },
  tooManyConnectionsOfRole: { sqlstate: '53300', text: 'too many connections for role "{role}"' },
  clientNetwork: {
    sqlstate: '28000',
    text: 'connections from {address} are refused',
    hint: 'The setting PGPIER_ALLOW_CLIENTS names the networks that may connect.',
  },
  cannotListen: { sqlstate: '58030', text: 'cannot listen on {address}: {reason}' },
  siblingSocket: {
    sqlstate: '58030',
    text: 'cannot make the socket {path}, by which relays on one port pass cancels on: {reason}',
    hint: 'It is in the data directory; PGPIER_DATA names another.',
  },
  tlsKeyPair: { sqlstate: 'F0000', text: 'the TLS certificate and key cannot be used: {reason}' },

  noParameter: { sqlstate: '42P02', text: 'there is no parameter ${number}' },
  nullParameter: { sqlstate: '22004', text: 'parameter ${number} must not be null' },
  unreadableParameter: {
    sqlstate: '0A000',
    text: 'parameter ${number} has a binary type that PgPier cannot read',
    hint: 'Cast the parameter to text, or send it in text format.',
  },
  malformedParameter: { sqlstate: '22P03', text: 'incorrect binary data format in parameter ${number}' },
  parametersTooLarge: { sqlstate: '54000', text: "the parameters of a statement of PgPier's may be 1 MiB in all" },
  clientEncoding: {
    sqlstate: '0A000',
    text: 'the result holds characters that PgPier cannot send in client_encoding {encoding}',
    hint: "SET client_encoding = 'UTF8'.",
  },
  cannotMark: {
    sqlstate: '42501',
    text: 'the change cannot be tied to your transaction',
    hint: 'The role needs EXECUTE on pg_logical_emit_message(boolean, text, text), which PUBLIC has by default.',
  },
  statementTimeout: { sqlstate: '57014', text: 'canceling statement due to statement timeout' },
  queryCanceled: { sqlstate: '57014', text: 'canceling statement due to user request' },
  clientGone: { sqlstate: '57014', text: 'canceling statement because the client has gone' },
  shuttingDown: { sqlstate: '57P01', text: 'terminating connection due to administrator command' },
  idleTimeout: { sqlstate: '57P05', text: 'terminating connection due to idle-session timeout' },
  backendGone: { sqlstate: '57P01', text: 'the PostgreSQL session behind this connection has ended' },
  // URIs of the outside. None repeats a value: it may be a secret.
  invalidUri: { sqlstate: '22023', text: 'invalid URI: {reason}' },
  redactUri: { sqlstate: '22023', text: 'failed to redact the URI: {reason}' },
  pathOutsideConnection: { sqlstate: '42501', text: 'the path leads outside the path of the external connection' },
  unsupportedStorageScheme: {
    sqlstate: '22023',
    text: 'unsupported storage scheme: "{scheme}" - refer to docs to find supported storage schemes',
    hint: 'docs/connections.md lists them.',
  },
  unknownQueryParameters: { sqlstate: '22023', text: 'unknown {provider} query parameters: {names}' },
  parameterNotBool: { sqlstate: '22023', text: 'param {parameter} must be a bool' },
  unsupportedAuth: { sqlstate: '22023', text: 'unsupported value {value} for AUTH' },
  credentialNotSet: { sqlstate: '22023', text: "AUTH is set to 'specified', but {parameter} is not set" },
  s3BucketMissing: { sqlstate: '22023', text: 'empty host component; s3 URI must specify a target bucket' },
  s3EndpointInvalid: {
    sqlstate: '22023',
    text: 'AWS_ENDPOINT must be a host or a URL with nothing behind the host',
    hint: 'For example AWS_ENDPOINT=https://minio.example.com:9000',
  },
  s3EndpointDisallowed: { sqlstate: '42501', text: 'custom endpoints disallowed for s3 due to --external-io-disable-http flag' },
  s3ImplicitDisallowed: {
    sqlstate: '42501',
    text: 'implicit credentials disallowed for s3 due to --external-io-disable-implicit-credentials flag',
  },
  s3RegionInvalid: { sqlstate: '22023', text: 'AWS_REGION must be the name of a region, such as us-east-1' },
  s3EncryptionMode: {
    sqlstate: '22023',
    text: 'unsupported server encryption mode {mode}. Supported values are `aws:kms` and `AES256`.',
  },
  s3KmsIdNotSet: { sqlstate: '22023', text: 'AWS_SERVER_KMS_ID param must be set when using aws:kms server side encryption mode.' },
  s3StorageClass: { sqlstate: '22023', text: 'S3_STORAGE_CLASS must be the name of a storage class, such as STANDARD_IA' },
  nodelocalHostEmpty: {
    sqlstate: '22023',
    text: "invalid `nodelocal` URI: host component of nodelocal URI must be a node ID (use 'self' to specify each node should access its own local filesystem): nodelocal://{path}",
  },
  nodelocalHostInvalid: {
    sqlstate: '22023',
    text: 'invalid `nodelocal` URI: host component of nodelocal URI must be a node ID: nodelocal://{host}{path}',
  },
  nodelocalOtherNode: {
    sqlstate: '0A000',
    text: "nodelocal: this is not node {node}, and another node's files cannot be reached from here",
    hint: "Use 'self' for the files of the node that does the work.",
  },
  nodelocalDisabled: {
    sqlstate: '0A000',
    text: 'nodelocal is not available: no directory for external files is configured',
    hint: 'Start PgPier with --external-dir.',
  },
  nodelocalOutside: { sqlstate: '42501', text: 'local file access to paths outside of external-io-dir is not allowed: {path}' },
  nodelocalDenied: {
    sqlstate: '42501',
    text: '{location}: {operation} failed ({cause})',
    hint: 'The operating system does not let PgPier do this with its external directory.',
  },
  userfileHostInvalid: {
    sqlstate: '22023',
    text: 'invalid `userfile` URI: the host component must be empty or a name with three parts, database.schema.table_prefix',
  },
  userfilePathChanges: {
    sqlstate: '22023',
    text: 'path {path} changes after normalization to {normal}. userfile upload does not permit such path constructs',
  },
  userfileDenied: {
    sqlstate: '42501',
    text: 'permission denied for the files of {prefix}',
    hint: 'Your own files are userfile:///path; those of others are for superusers and members of the admin role.',
  },
  userfileOwnerGone: { sqlstate: '42704', text: 'the role whose files external connection {name} stands for was dropped' },
  userfileDisabled: { sqlstate: '0A000', text: 'userfile is not available: this process was told no catalog' },
  userfileAbandoned: { sqlstate: '58030', text: 'the unfinished file was removed while it was written: "{path}"' },
  // Storage: what can go wrong outside. `location` is a URI without its query; causes are codes, never the answer's text.
  storagePathInvalid: {
    sqlstate: '22023',
    text: 'invalid path {path}',
    hint: 'Between slashes it needs names; "." and ".." and control characters are none.',
  },
  storageNameTooLong: { sqlstate: '22023', text: 'name too long: "{path}"' },
  storageObjectMissing: { sqlstate: '58P01', text: '{provider} object does not exist: "{path}"' },
  storageBucketMissing: { sqlstate: '58P01', text: 'bucket does not exist: {location}' },
  storageNotFile: { sqlstate: '42809', text: 'not a regular file: "{path}"' },
  storageNotFolder: { sqlstate: '58P02', text: 'a file is where a folder is needed: "{path}"' },
  storageAccessDenied: { sqlstate: '42501', text: 'access denied: these credentials may not {operation} at {location}' },
  storageCredentialsRejected: { sqlstate: '28000', text: '{location} does not accept these credentials ({cause})' },
  storageSecretWrong: { sqlstate: '28P01', text: '{location} does not accept the secret key (the signature does not match)' },
  storageCredentialsMissing: {
    sqlstate: '28000',
    text: 'AUTH=implicit: no credentials were found in the environment of PgPier',
  },
  storageUnreachable: { sqlstate: '08001', text: 'cannot reach {endpoint}: {cause}' },
  storageTimeout: { sqlstate: '08006', text: 'no answer from {endpoint} in time' },
  storageTls: { sqlstate: '08001', text: 'TLS with {endpoint} failed: {cause}' },
  storageProtocol: { sqlstate: '08P01', text: '{endpoint} does not answer as {provider} does ({cause})' },
  storageRedirected: {
    sqlstate: '08P01',
    text: '{endpoint} redirects to another address, which is not followed',
    hint: 'Check AWS_REGION and AWS_ENDPOINT.',
  },
  storageWrongRegion: { sqlstate: '22023', text: 'the bucket is in another region than AWS_REGION says{region}' },
  storageClockSkew: { sqlstate: '28000', text: "{location} finds this machine's clock too far from its own" },
  storageBusy: { sqlstate: '53000', text: '{endpoint} is too busy ({cause})' },
  storageFull: { sqlstate: '53100', text: 'no space left at {location}' },
  storageTooLarge: { sqlstate: '54000', text: 'the object is larger than {location} can take' },
  storageFailed: { sqlstate: '58000', text: '{location}: {operation} failed ({cause})' },
  storageIo: { sqlstate: '58030', text: '{location}: {operation} failed ({cause})' },
  storageChanged: { sqlstate: '58030', text: 'the object changed while it was read: "{path}"' },
  storageCanceled: { sqlstate: '57014', text: 'canceled while waiting for {location}' },
  addressNotAllowed: { sqlstate: '42501', text: 'connecting to {address} is not allowed: it is {reason}' },
  networkInvalid: { sqlstate: '22023', text: 'invalid network "{network}"', hint: 'Write an address or a CIDR such as 10.0.0.0/8.' },
  checkMismatch: { sqlstate: '58030', text: 'what was read back is not what was written, from byte {offset} on' },
  sentinelNotFound: { sqlstate: '58P01', text: "failed to find sentinel ExternalStorage file '{name}'" },
  sentinelMismatch: { sqlstate: '58030', text: 'content mismatch, expected: {expected} but found: {found}' },

  // Key services. What is said about reaching one is said in the words of storages.
  unsupportedKmsScheme: {
    sqlstate: '22023',
    text: 'unsupported KMS scheme: "{scheme}"',
    hint: 'docs/connections.md lists the key services.',
  },
  kmsKeyMissing: { sqlstate: '22023', text: 'path component of the KMS cannot be empty; must contain the Customer Managed Key' },
  kmsPlaintext: { sqlstate: '22023', text: 'a key service encrypts texts of 1 to {most} bytes' },
  kmsCiphertext: { sqlstate: '22023', text: 'the key did not make this ciphertext, or it was changed' },
  kmsMarkerMismatch: { sqlstate: '58030', text: 'content mismatch: the key decrypts to something else than it was given' },
  localKmsUri: { sqlstate: '22023', text: 'invalid `local-kms` URI: {reason}' },
  localKmsOff: { sqlstate: '42501', text: 'local-kms is off: this process has no directory of key files' },
  localKmsKeyMissing: {
    sqlstate: '42704',
    text: 'there is no local key "{name}"',
    hint: 'The operator makes one in the directory of PGPIER_LOCAL_KMS_DIR, with mode 0600: openssl rand -base64 32.',
  },
  localKmsKey: { sqlstate: '55000', text: 'the local key "{name}" cannot be used: {reason}', hint: 'Only the operator can mend that.' },

  // Sinks.
  unsupportedSink: { sqlstate: '22023', text: 'unsupported sink: {scheme}', hint: 'docs/connections.md lists the sinks.' },

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
  connectionKeyUnknown: {
    sqlstate: '22023',
    text: 'invalid input parameter (connection params invalid: expected [{expected}], got [{got}])',
  },
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

export type ErrorName = keyof typeof errors;

export interface ErrorFields {
  /** Extra facts for the user; must not hold secrets. */
  readonly detail?: string;
  /** Replaces the table's hint. */
  readonly hint?: string;
  /** 1-based position in characters in the statement's text, as PostgreSQL counts it. */
  readonly position?: number;
  readonly severity?: 'ERROR' | 'FATAL';
}

/** The plain-data form in which an error crosses a process boundary and is written as ErrorResponse. */
export interface ErrorData extends ErrorFields {
  readonly sqlstate: string;
  readonly message: string;
}

/** An error that a client is meant to read. Its message never holds a secret. */
export class PgPierError extends Error {
  readonly data: ErrorData;

  constructor(name: ErrorName, values: Readonly<Record<string, string | number>> = {}, fields: ErrorFields = {}) {
    const entry: ErrorEntry = errors[name];
    const message = entry.text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? `{${key}}`));
    super(message);
    this.name = 'PgPierError';
    const hint = fields.hint ?? entry.hint;
    this.data = { ...fields, sqlstate: entry.sqlstate, message, ...(hint === undefined ? {} : { hint }) };
  }

  /** An error that came from elsewhere ready-made: from a worker process, or from PostgreSQL's own ErrorResponse. */
  static from(data: ErrorData): PgPierError {
    const error = Object.create(PgPierError.prototype) as PgPierError;
    Object.assign(error, { message: data.message, name: 'PgPierError', data });
    Error.captureStackTrace(error, PgPierError.from);
    return error;
  }
}

/** Anything thrown, as something a client may read: our own errors as they are, all else as `internal`. */
export function toErrorData(error: unknown): ErrorData {
  if (error instanceof PgPierError) return error.data;
  return new PgPierError('internal', { detail: error instanceof Error ? error.name : typeof error }).data;
}
