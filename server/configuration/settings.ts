/**
 * Every setting, in one table: `--help`, the reading of flags, environment and file, and the README's table come from it (a test ties
 * the README to it). A setting's flag is `--name`, its variable `PGPIER_NAME`; secrets have no flag, as `ps` shows flags to everybody.
 */
export interface Setting {
  /** As in the flag: lower case with hyphens. */
  readonly name: string;
  /** What the value looks like, for `--help`; absent for a switch, which is on when given bare. */
  readonly value?: string;
  readonly description: string;
  /** In words, for `--help`. */
  readonly default?: string;
  readonly secret?: true;
}

export const settings = [
  { name: 'config', value: 'FILE', description: 'read settings from FILE, one PGPIER_NAME=value a line; flag and environment go first' },
  { name: 'listen', value: 'HOST:PORT', description: 'where clients connect; port 0 takes any free one', default: '127.0.0.1:6432' },
  {
    name: 'backend',
    value: 'URL',
    description: 'the PostgreSQL to stand before, postgres://USER@HOST:PORT/DATABASE?sslmode=…',
    default: 'an embedded PostgreSQL 18',
  },
  { name: 'catalog', value: 'URL', description: 'the database of the catalog', default: 'database pgpier on the backend' },
  { name: 'data', value: 'DIRECTORY', description: 'data of the embedded server, and the key file', default: './data' },
  { name: 'external-dir', value: 'DIRECTORY', description: 'root of nodelocal://', default: 'extern in the data directory' },
  { name: 'local-kms-dir', value: 'DIRECTORY', description: 'key files of local-kms://', default: 'kms in the data directory' },
  { name: 'http', value: 'HOST:PORT|off', description: 'serve /metrics and /healthz there', default: 'off' },
  { name: 'relays', value: 'N', description: 'threads that serve clients, all on one port', default: '1' },
  { name: 'reuse-port', description: 'let another PgPier listen on the same address: for a rolling restart' },
  {
    name: 'native',
    value: 'auto|on|off',
    description: 'forward sessions without TLS by the native addon: where it was built; or not start without it; or never',
    default: 'auto',
  },
  {
    name: 'workers',
    value: 'N',
    description: 'processes that do exports, and jobs carried out side by side; 0 leaves jobs to `pgpier worker`',
    default: '2, or 1 on a single core',
  },
  { name: 'admin-role', value: 'ROLE', description: 'members of this role pass every privilege check, as superusers do' },
  {
    name: 'auth',
    value: 'auto|scram|password|passthrough|cert',
    description: 'how passwords reach the backend where connections use TLS; cert: as auto, and the client certificate names the role',
    default: 'auto',
  },
  { name: 'trust-backend', description: 'accept a backend that lets roles in without a password, because it trusts the address of PgPier' },
  { name: 'node-id', value: 'N', description: 'number of this proxy, in names of exported files and in nodelocal://N/', default: '1' },
  {
    name: 'peers',
    value: 'N=HOST:PORT,…',
    description: 'other PgPiers of the same catalog, by their node-id: where cancel requests for their sessions go, and nodelocal://N/',
  },
  { name: 'tls-cert', value: 'FILE', description: "certificate chain (PEM) for clients' TLS" },
  { name: 'tls-key', value: 'FILE', description: 'its private key (PEM)' },
  { name: 'tls-client-ca', value: 'FILE', description: 'authorities (PEM); every client must show a certificate that one of them signed' },
  { name: 'tls-required', description: 'refuse clients that do not ask for TLS' },
  { name: 'allow-clients', value: 'CIDR,…', description: 'networks that clients may connect from', default: 'any' },
  { name: 'max-connections', value: 'N', description: 'clients at once, logins under way included; 0: no limit', default: '0' },
  { name: 'max-connections-per-role', value: 'N', description: 'sessions of one role at once; 0: no limit', default: '0' },
  { name: 'login-timeout', value: 'SECONDS', description: 'from connecting to being logged in', default: '60' },
  {
    name: 'idle-timeout',
    value: 'SECONDS',
    description: 'end sessions that are idle so long outside a transaction; 0: never',
    default: '0',
  },
  {
    name: 'tcp-keepalive',
    value: 'SECONDS',
    description: 'silence after which the kernel asks clients and the backend whether they are there; 0: never',
    default: '60',
  },
  {
    name: 'allow-networks',
    value: 'CIDR,…',
    description: 'private networks that roles other than admins may reach as storage',
    default: 'none; loopback with the embedded server',
  },
  {
    name: 'allowed-locations',
    value: 'PATTERN,…',
    description: 'the only places outside that may be reached, by anybody: s3://company-*, nodelocal:*, kafka://*.internal:9092',
    default: 'all',
  },
  { name: 'named-connections-only', description: 'roles other than admins name places by external connections alone, never by URI' },
  {
    name: 'external-io-disable-http',
    description:
      'refuse web servers (http://, https://) and endpoints of one’s own (AWS_ENDPOINT, GOOGLE_ENDPOINT) as storage, to everybody',
  },
  { name: 'external-io-disable-implicit-credentials', description: "refuse the machine's own credentials (AUTH=implicit), to everybody" },
  {
    name: 'usage-retention',
    value: 'DAYS',
    description: 'how long it is remembered who used which external connection; 0: nothing is recorded',
    default: '90',
  },
  { name: 'drain-timeout', value: 'SECONDS', description: 'how long open transactions may last after SIGTERM', default: '10' },
  { name: 'log-level', value: 'LEVEL', description: 'fatal, error, warn, info, debug, trace or silent', default: 'info' },
  {
    name: 'password',
    value: 'TEXT',
    secret: true,
    description: 'password of postgres on the embedded server; turns SCRAM on for every role',
  },
  {
    name: 'secret-key',
    value: 'TEXT',
    secret: true,
    description: 'the key that credentials in the catalog are encrypted under: 32 bytes in base64 or hex',
  },
  {
    name: 'secret-key-file',
    value: 'FILE',
    secret: true,
    description: 'a file that holds that key, of mode 0600; made when absent and the catalog is new',
    default: 'secret.key in the data directory',
  },
  {
    name: 'new-secret-key',
    value: 'TEXT',
    secret: true,
    description: 'for `pgpier rotate-key` alone: the key that takes the other one’s place',
  },
  { name: 'new-secret-key-file', value: 'FILE', secret: true, description: 'a file that holds it, of mode 0600; made when absent' },
] as const satisfies readonly Setting[];

export type SettingName = (typeof settings)[number]['name'];

export const variableOf = (name: string): string => `PGPIER_${name.toUpperCase().replaceAll('-', '_')}`;
