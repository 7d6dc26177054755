/** Storages, key services, sinks: their URIs and what can go wrong there. */
import type { ErrorEntry } from './entry.ts';

export const outsideErrors = {
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
  bucketNotSet: { sqlstate: '22023', text: 'empty host component; {provider} URI must specify a target {bucket}' },
  endpointInvalid: {
    sqlstate: '22023',
    text: '{parameter} must be a host or a URL with nothing behind the host',
    hint: 'For example https://storage.example.com:9000',
  },
  assumeRoleInvalid: {
    sqlstate: '22023',
    text: 'invalid ASSUME_ROLE: {reason}',
    hint: 'For example ASSUME_ROLE=arn:aws:iam::123456789012:role/backup;external_id=abc, with "%3B" for ";"; commas separate the roles of a chain.',
  },
  endpointDisallowed: { sqlstate: '42501', text: 'custom endpoints disallowed for {provider} due to --external-io-disable-http flag' },
  implicitDisallowed: {
    sqlstate: '42501',
    text: 'implicit credentials disallowed for {provider} due to --external-io-disable-implicit-credentials flag',
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
  storageTokenExpired: { sqlstate: '28000', text: '{location} does not accept these credentials: the session token has expired' },
  assumeRoleDenied: {
    sqlstate: '42501',
    text: 'access denied: these credentials may not assume the role {role}',
    hint: 'The policy of the credentials and the trust policy of the role must both allow it; a trust policy may ask for an external_id.',
  },
  assumeRoleDeniedWithId: {
    sqlstate: '42501',
    text: 'access denied: these credentials may not assume the role {role} with this external_id',
    hint: 'The policy of the credentials and the trust policy of the role must both allow it; the external_id must be the one of the trust policy.',
  },
  assumeRoleMissing: { sqlstate: '42704', text: '{endpoint} has no role {role}' },
  assumeRoleRefused: { sqlstate: '22023', text: '{endpoint} does not take {role} for a role ({cause})' },
  assumeRoleFailed: {
    sqlstate: '58000',
    text: '{endpoint}: assuming the role {role} failed ({cause})',
    hint: 'A store with an AWS_ENDPOINT of its own must serve STS there, as MinIO and Ceph do.',
  },
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
} as const satisfies Record<string, ErrorEntry>;
