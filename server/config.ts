/** Settings into one checked value: everything wrong is found in one reading and told in one message. */
import { accessSync, constants } from 'node:fs';
import { availableParallelism, homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { readMasterKey } from '../catalog/secretKey.ts';
import { Secret } from '../catalog/secrets.ts';
import { parseLocationPattern } from '../external/allowedLocations.ts';
import { type AuthSetting, authSettings } from './authPolicy.ts';
import { type Address, isLoopbackHost, parseAddress, parseCidr } from './configuration/address.ts';
import { type ConnectionTarget, type Defaults, parseConnectionUri } from './configuration/connectionUri.ts';
import { readPasswordFile } from './configuration/passwordFile.ts';
import { type SettingName, variableOf } from './configuration/settings.ts';
import { type Environment, readSources } from './configuration/sources.ts';
import type { Limits } from './login/clientLimits.ts';
import { maxNodeId, type Peers } from './login/peers.ts';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export const nativeSettings = ['auto', 'on', 'off'] as const;
export type NativeSetting = (typeof nativeSettings)[number];

export type ConfiguredKey = { readonly kind: 'key'; readonly key: Secret } | { readonly kind: 'file'; readonly path: string };

export interface Config {
  /** `worker`: carries jobs out and nothing else. `userfile`: the program of that name, which serves nobody. */
  readonly command: 'proxy' | 'worker' | 'userfile' | 'rotate-key';
  readonly listen: Address;
  readonly backend:
    | { readonly kind: 'embedded'; readonly password?: Secret }
    | { readonly kind: 'server'; readonly target: ConnectionTarget };
  /** Absent: database `pgpier` on the backend. */
  readonly catalog?: ConnectionTarget;
  /** Absolute. The embedded server may have to move it (server/embedded/place.ts). */
  readonly dataDirectory: string;
  /** Absolute; absent: `extern` in the data directory. */
  readonly externalDirectory?: string;
  /** Absolute; absent: `kms` in the data directory. */
  readonly localKmsDirectory?: string;
  readonly http?: Address;
  /** 0: the proxy leaves jobs to others; exports and storage checks still have one process. */
  readonly workers: number;
  readonly adminRole?: string;
  /** Whether roles other than admins may write no URIs. */
  readonly namedConnectionsOnly: boolean;
  /** Whether custom endpoints are refused, to everybody. */
  readonly disableHttp: boolean;
  /** Whether the machine's own credentials are refused, to everybody. */
  readonly disableImplicitCredentials: boolean;
  /** 0: uses of connections are not recorded. */
  readonly usageRetentionDays: number;
  readonly auth: AuthSetting;
  readonly trustBackend: boolean;
  readonly nodeId: number;
  /** Paths of PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile?: string; readonly required: boolean };
  /** `address/length` each. */
  readonly allowNetworks: readonly string[];
  /** Patterns (external/allowedLocations.ts); absent: everything. */
  readonly allowedLocations?: readonly string[];
  /** Event loops that serve clients. */
  readonly relays: number;
  /** Whether other processes may listen on our address too: a successor, in a rolling restart. */
  readonly reusePort: boolean;
  /** Whether sessions without TLS are forwarded by the addon; `on`: or PgPier does not start. */
  readonly native: NativeSetting;
  readonly limits: Limits;
  readonly peers?: Peers;
  readonly loginTimeoutMs: number;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  /** 0: never. */
  readonly keepAliveMs: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
  /** Absent: the file `secret.key` in the data directory. */
  readonly secretKey?: ConfiguredKey;
  /** What `pgpier rotate-key` puts in its place. */
  readonly newSecretKey?: ConfiguredKey;
  /** Worth a line in the log. */
  readonly warnings: readonly string[];
}

export type Reading =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function isSecretKey(text: string): boolean {
  try {
    readMasterKey(text, '');
    return true;
  } catch {
    return false;
  }
}

/** @param argv without the interpreter and the script; `worker` or `userfile` as the first word is the command. */
export function readConfig(argv: readonly string[], environment: Environment): Reading {
  const command = (['worker', 'userfile', 'rotate-key'] as const).find((word) => word === argv[0]) ?? 'proxy';
  const sources = readSources(command === 'proxy' ? argv : argv.slice(1), environment);
  if (sources.asked !== 'start') return { kind: sources.asked };
  const mistakes = [...sources.mistakes];
  const warnings = [...sources.warnings];

  const given = (name: SettingName): string | undefined => sources.found.get(name)?.text;
  const label = (name: SettingName): string => sources.found.get(name)?.label ?? variableOf(name);
  const wrong = (name: SettingName, why: string): undefined => {
    mistakes.push(`${label(name)} ${why}`);
    return undefined;
  };
  const address = (name: SettingName, text: string): Address | undefined =>
    parseAddress(text) ?? wrong(name, `is "${text}"; it is HOST:PORT, as 127.0.0.1:6432 or [::1]:6432, with a port up to 65535`);
  const integer = (name: SettingName, fallback: number, least: number, most: number): number => {
    const text = given(name);
    if (text === undefined) return fallback;
    if (/^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
    wrong(name, `is "${text}"; it is a whole number from ${least} to ${most}`);
    return fallback;
  };
  const choice = <T extends string>(name: SettingName, among: readonly T[], fallback: T): T => {
    const text = given(name);
    const chosen = among.find((each) => each === text?.toLowerCase());
    if (text !== undefined && chosen === undefined) wrong(name, `is "${text}"; it is one of ${among.join(', ')}`);
    return chosen ?? fallback;
  };
  const switched = (name: SettingName): boolean => {
    const text = given(name)?.toLowerCase();
    if (text === undefined || ['off', 'false', 'no', '0'].includes(text)) return false;
    return ['on', 'true', 'yes', '1'].includes(text) || wrong(name, `is "${text}"; it is on or off`) === true;
  };
  const file = (name: SettingName): string | undefined => {
    const text = given(name);
    if (text === undefined) return undefined;
    try {
      accessSync(text, constants.R_OK);
      return resolve(text);
    } catch (error) {
      return wrong(name, `is "${text}", which cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
  };

  const target = (name: 'backend' | 'catalog', defaults: Defaults): ConnectionTarget | undefined => {
    const text = given(name);
    if (text === undefined) return undefined;
    const reading = parseConnectionUri(text, defaults);
    if ('mistakes' in reading) {
      for (const mistake of reading.mistakes) wrong(name, mistake);
      return undefined;
    }
    const { sslrootcert } = reading.target;
    if (sslrootcert !== undefined && sslrootcert !== 'system' && !isReadable(sslrootcert))
      wrong(name, `names the sslrootcert "${sslrootcert}", which cannot be read`);
    if (reading.target.password !== undefined) {
      if (sources.found.get(name)?.from !== 'flag') return reading.target;
      return wrong(
        name,
        `holds a password, and ps shows flags to everybody; put the URL in ${variableOf(name)}, or the password in PGPASSWORD`,
      );
    }
    if (environment.PGPASSWORD) return { ...reading.target, password: new Secret(environment.PGPASSWORD) };
    const path = environment.PGPASSFILE || join(environment.HOME || homedir(), '.pgpass');
    for (const host of reading.target.choice?.hosts ?? [reading.target]) {
      const { password, warning } = readPasswordFile(path, { ...reading.target, ...host });
      if (password !== undefined) return { ...reading.target, password };
      if (warning === undefined) continue;
      warnings.push(warning);
      break;
    }
    return reading.target;
  };

  const listen = address('listen', given('listen') ?? '127.0.0.1:6432');
  const http = (given('http') ?? 'off') === 'off' ? undefined : address('http', given('http')!);
  const backendTarget = target('backend', { user: environment.PGUSER || userName() });
  const embedded = given('backend') === undefined;
  if (command === 'worker' && embedded)
    wrong('backend', 'is not set; a worker needs the URL of the PostgreSQL that the proxy stands before, and the proxy’s key');
  const catalog = target('catalog', { user: backendTarget?.user ?? 'postgres', database: 'pgpier' });

  const password = given('password') === undefined ? undefined : new Secret(given('password')!);
  if (!embedded && password !== undefined)
    wrong('password', 'is for the embedded server, and PGPIER_BACKEND names another; its password belongs in the URL or in PGPASSWORD');
  if (command === 'proxy' && embedded && password === undefined && listen !== undefined && !isLoopbackHost(listen.host))
    wrong(
      'listen',
      `is "${given('listen')}", which other machines can reach, and the embedded server asks for no password: set PGPIER_PASSWORD too, or listen on 127.0.0.1`,
    );

  const reusePort = switched('reuse-port');
  if (embedded && reusePort) wrong('reuse-port', 'needs PGPIER_BACKEND: the embedded server ends with the process that started it');

  const certFile = file('tls-cert');
  const keyFile = file('tls-key');
  if ((given('tls-cert') === undefined) !== (given('tls-key') === undefined)) {
    const [has, lacks]: SettingName[] = given('tls-cert') === undefined ? ['tls-key', 'tls-cert'] : ['tls-cert', 'tls-key'];
    wrong(has!, `needs ${variableOf(lacks!)} beside it`);
  }
  const tlsRequired = switched('tls-required');
  if (tlsRequired && given('tls-cert') === undefined && given('tls-key') === undefined)
    wrong('tls-required', 'needs PGPIER_TLS_CERT and PGPIER_TLS_KEY beside it');

  const clientCaFile = file('tls-client-ca');
  if (given('tls-client-ca') !== undefined && given('tls-cert') === undefined)
    wrong('tls-client-ca', 'needs PGPIER_TLS_CERT and PGPIER_TLS_KEY beside it');
  const auth = choice('auth', authSettings, 'auto');
  if (auth === 'cert' && given('tls-client-ca') === undefined)
    wrong('auth', 'is "cert", which needs PGPIER_TLS_CLIENT_CA: the authorities that sign the certificates of clients');

  const networks = (name: 'allow-networks' | 'allow-clients'): string[] => {
    const texts = (given(name) ?? '').split(',').map((each) => each.trim());
    return texts.flatMap((text) => {
      if (text === '') return [];
      return parseCidr(text) ?? wrong(name, `holds "${text}"; a network is written 10.1.0.0/16 or fd00::/8`) ?? [];
    });
  };
  const allowNetworks = networks('allow-networks');
  if (embedded && given('allow-networks') === undefined) allowNetworks.push('127.0.0.0/8', '::1/128');

  const allowedLocations = given('allowed-locations')
    ?.split(/[\s,]+/)
    .filter((each) => each !== '');
  for (const each of allowedLocations ?? [])
    if (parseLocationPattern(each) === undefined)
      wrong(
        'allowed-locations',
        `holds "${each}"; a location is written s3:*, s3://bucket-*/path or kafka://*.internal:9092, without . and ..`,
      );

  const nodeId = integer('node-id', 1, 1, 2_147_483_647);
  const readPeers = (text: string): Peers => {
    if (nodeId > maxNodeId) wrong('node-id', `is ${nodeId}; with peers it is at most ${maxNodeId}, as it is part of each cancel key`);
    const others = new Map<number, Address>();
    for (const each of text.split(',').map((part) => part.trim())) {
      const [, number = '', where = ''] = /^(\d{1,3})=(.+)$/.exec(each) ?? [];
      const at = parseAddress(where);
      const id = Number(number);
      if (!at || at.port === 0 || id < 1 || id > maxNodeId)
        wrong('peers', `holds "${each}"; a peer is written 2=10.0.0.2:6432, with a number up to ${maxNodeId}`);
      else if (id === nodeId) wrong('peers', `names node ${id}, which is this one; it lists the others`);
      else if (others.has(id)) wrong('peers', `names node ${id} twice`);
      else others.set(id, at);
    }
    return { nodeId, others };
  };
  const peers = given('peers') === undefined ? undefined : readPeers(given('peers')!);

  const secretKeyOf = (
    value: 'secret-key' | 'new-secret-key',
    path: 'secret-key-file' | 'new-secret-key-file',
  ): ConfiguredKey | undefined => {
    const [keyText, keyPath] = [given(value), given(path)];
    if (keyText !== undefined && keyPath !== undefined) wrong(value, `and ${variableOf(path)} are both set; give one`);
    if (keyText !== undefined && !isSecretKey(keyText))
      wrong(value, 'is not 32 bytes in base64 or hex; `openssl rand -base64 32` makes one');
    if (keyText !== undefined) return { kind: 'key', key: new Secret(keyText) };
    return keyPath === undefined ? undefined : { kind: 'file', path: resolve(keyPath) };
  };
  const secretKey = secretKeyOf('secret-key', 'secret-key-file');
  const newSecretKey = secretKeyOf('new-secret-key', 'new-secret-key-file');
  if (newSecretKey && command !== 'rotate-key') wrong('new-secret-key', 'is for `pgpier rotate-key` alone');

  const maxConnections = integer('max-connections', 0, 0, 1_000_000);
  const maxConnectionsPerRole = integer('max-connections-per-role', 0, 0, 1_000_000);
  const adminRole = given('admin-role');
  const externalDirectory = given('external-dir');
  const localKmsDirectory = given('local-kms-dir');
  const config: Omit<Config, 'listen'> = {
    command,
    backend: backendTarget === undefined ? { kind: 'embedded', ...(password && { password }) } : { kind: 'server', target: backendTarget },
    ...(catalog && { catalog }),
    dataDirectory: resolve(given('data') ?? 'data'),
    ...(externalDirectory !== undefined && { externalDirectory: resolve(externalDirectory) }),
    ...(localKmsDirectory !== undefined && { localKmsDirectory: resolve(localKmsDirectory) }),
    ...(http && { http }),
    relays: integer('relays', 1, 1, 64),
    reusePort,
    native: choice('native', nativeSettings, 'auto'),
    workers: integer('workers', Math.min(2, availableParallelism()), command === 'worker' ? 1 : 0, 64),
    ...(adminRole !== undefined && { adminRole }),
    namedConnectionsOnly: switched('named-connections-only'),
    disableHttp: switched('external-io-disable-http'),
    disableImplicitCredentials: switched('external-io-disable-implicit-credentials'),
    usageRetentionDays: integer('usage-retention', 90, 0, 36_500),
    auth,
    trustBackend: switched('trust-backend'),
    nodeId,
    ...(certFile && keyFile && { tls: { certFile, keyFile, ...(clientCaFile && { clientCaFile }), required: tlsRequired } }),
    allowNetworks,
    ...(allowedLocations && { allowedLocations }),
    ...(peers && { peers }),
    limits: {
      ...(given('allow-clients') !== undefined && { clientNetworks: networks('allow-clients') }),
      ...(maxConnections > 0 && { maxConnections }),
      ...(maxConnectionsPerRole > 0 && { maxConnectionsPerRole }),
    },
    loginTimeoutMs: integer('login-timeout', 60, 1, 600) * 1000,
    // A longer timer would be none: Node's are 31 bits of milliseconds, the kernel's 15 bits of seconds.
    idleTimeoutMs: integer('idle-timeout', 0, 0, 2_000_000) * 1000,
    keepAliveMs: integer('tcp-keepalive', 60, 0, 32_767) * 1000,
    drainTimeoutMs: integer('drain-timeout', 10, 0, 86_400) * 1000,
    logLevel: choice('log-level', logLevels, 'info'),
    ...(secretKey && { secretKey }),
    ...(newSecretKey && { newSecretKey }),
    warnings,
  };
  if (mistakes.length > 0 || listen === undefined) return { kind: 'mistakes', mistakes };
  return { kind: 'config', config: { ...config, listen } };
}

/** libpq's default user; a uid without an account has none. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'postgres';
  }
}
