/** Flags, environment and file into one configuration, or into one list of everything that is wrong. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { readConfig } from '../../server/config.ts';
import { helpText } from '../../server/configuration/help.ts';
import { type Setting, settings, variableOf } from '../../server/configuration/settings.ts';

const scratch = mkdtempSync(join(tmpdir(), 'pgpier-config-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const HOME = scratch;

function file(name: string, text: string, mode = 0o600): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function config(argv: readonly string[], environment: Record<string, string> = {}) {
  const reading = readConfig(argv, { HOME, ...environment });
  assert.equal(reading.kind, 'config', inspect(reading));
  return reading.config;
}

function mistakes(argv: readonly string[], environment: Record<string, string> = {}): readonly string[] {
  const reading = readConfig(argv, { HOME, ...environment });
  assert.equal(reading.kind, 'mistakes', inspect(reading));
  return reading.mistakes;
}

test('without any setting the embedded server stands behind a loopback listener', () => {
  const made = config([]);
  assert.deepEqual(made.listen, { host: '127.0.0.1', port: 6432 });
  assert.deepEqual(made.backend, { kind: 'embedded' });
  assert.deepEqual(made.allowNetworks, ['127.0.0.0/8', '::1/128']);
  assert.equal(made.http, undefined);
});

test('a worker takes the same settings, needs a backend and at least one job at a time', () => {
  const made = config(['worker', '--backend', 'postgres://u@db.example/app', '--workers', '4', '--listen', '0.0.0.0:6432']);
  assert.deepEqual([made.command, made.workers, made.backend.kind], ['worker', 4, 'server']);
  assert.deepEqual([config([]).command, config(['--workers', '0']).workers], ['proxy', 0]);
  assert.match(mistakes(['worker']).join(), /PGPIER_BACKEND is not set; a worker needs the URL/);
  assert.match(mistakes(['worker', '--backend', 'postgres://u@db.example/app', '--workers', '0']).join(), /--workers is "0"/);
  assert.match(mistakes(['walker']).join(), /unexpected argument "walker"/);
});

test('one message lists every mistake', () => {
  const found = mistakes(['--listen', 'nowhere', '--relays', '0', '--listne', 'x', 'stray'], {
    PGPIER_WORKERS: 'many',
    PGPIER_LOG_LEVEL: 'loud',
    PGPIER_BACKEND: 'postgres://h:99999/?sslmode=maybe&application_name=x',
    PGPIER_TLS_CERT: join(scratch, 'absent.pem'),
    PGPIER_ALLOW_NETWORKS: '10.0.0.0/8,10.0.0.0/64',
    PGPIER_SECRET_KEY: 'short',
    PGPIER_NODE_ID: '0',
  });
  const each = [
    /--listne/,
    /"stray"/,
    /--listen is "nowhere"/,
    /--relays is "0"/,
    /PGPIER_WORKERS is "many"/,
    /PGPIER_LOG_LEVEL is "loud"/,
    /PGPIER_BACKEND has a port/,
    /PGPIER_BACKEND has an unknown sslmode/,
    /PGPIER_BACKEND has the parameter "application_name"/,
    /PGPIER_TLS_CERT is .*absent\.pem.*ENOENT/,
    /PGPIER_TLS_CERT needs PGPIER_TLS_KEY/,
    /PGPIER_ALLOW_NETWORKS holds "10\.0\.0\.0\/64"/,
    /PGPIER_SECRET_KEY is not 32 bytes/,
    /PGPIER_NODE_ID is "0"/,
  ];
  for (const pattern of each)
    assert.ok(
      found.some((mistake) => pattern.test(mistake)),
      `${pattern} in\n${found.join('\n')}`,
    );
  assert.equal(found.length, each.length, found.join('\n'));
});

test('a flag goes before the environment, and the environment before the file', () => {
  const path = file('pgpier.conf', 'PGPIER_WORKERS=7\nPGPIER_NODE_ID=7\nPGPIER_LOG_LEVEL=trace\n');
  const made = config(['--config', path, '--workers=5'], { PGPIER_WORKERS: '6', PGPIER_NODE_ID: '6' });
  assert.deepEqual([made.workers, made.nodeId, made.logLevel], [5, 6, 'trace']);
});

test('a secret in a file that others can read is refused', () => {
  assert.match(mistakes(['--config', file('open.conf', 'PGPIER_PASSWORD=hush\n', 0o644)]).join(), /holds a secret.*0600/);
  assert.equal(config(['--config', file('closed.conf', 'PGPIER_PASSWORD=hush\n')]).backend.kind, 'embedded');
});

test('secrets have no flag, and a refused one is not printed', () => {
  for (const setting of (settings as readonly Setting[]).filter((each) => each.secret)) {
    const found = mistakes([`--${setting.name}`, 'hunter2']).join();
    assert.match(found, new RegExp(`set ${variableOf(setting.name)} instead`));
    assert.doesNotMatch(found, /hunter2/);
  }
});

test('a password in the URL of a flag is refused, and taken from the variable', () => {
  const url = 'postgres://app:hunter2@db.example:5433/shop?sslmode=verify-full';
  const found = mistakes(['--backend', url]).join();
  assert.match(found, /ps shows flags/);
  assert.doesNotMatch(found, /hunter2/);
  const made = config([], { PGPIER_BACKEND: url });
  assert.doesNotMatch(`${inspect(made, { depth: 9 })}${JSON.stringify(made)}`, /hunter2/);
  assert.ok(made.backend.kind === 'server');
  const { password, ...rest } = made.backend.target;
  assert.equal(password?.reveal(), 'hunter2');
  assert.deepEqual(rest, { host: 'db.example', port: 5433, user: 'app', database: 'shop', sslmode: 'verify-full' });
});

test('no message repeats a part of a URL that cannot be read', () => {
  for (const url of [
    'postgres://u:hun/ter2@h/',
    'postgres://u:hunter2?x@h/',
    'postgres://u:%hunter2@h/',
    'mysql://u:hunter2@h/',
    'postgres://u:p@h:hunter2/',
  ])
    assert.doesNotMatch(mistakes([], { PGPIER_BACKEND: url }).join(), /hun|ter2/, url);
});

test('the password comes from PGPASSWORD, else from the password file by libpq’s rules', () => {
  const target = (environment: Record<string, string>) => {
    const { backend } = config([], { PGPIER_BACKEND: 'postgres://app@h:5433/shop', ...environment });
    assert.ok(backend.kind === 'server');
    return backend.target.password?.reveal();
  };
  const text = '# comment\nother:5433:shop:app:no\nh:*:shop:app:with\\:colon\\\\and\n*:*:*:*:last\n';
  const path = file('pass', text);
  assert.equal(target({ PGPASSWORD: 'direct', PGPASSFILE: path }), 'direct');
  assert.equal(target({ PGPASSFILE: path }), 'with:colon\\and');
  file('.pgpass', 'h:5433:*:app:home\n');
  assert.equal(target({}), 'home');
  const open = file('open.pass', text, 0o644);
  assert.equal(target({ PGPASSFILE: open }), undefined);
  assert.match(config([], { PGPIER_BACKEND: 'postgres://app@h/x', PGPASSFILE: open }).warnings.join(), /group or world access/);
});

test('a socket directory, an IPv6 address and percent-encodings are read as libpq reads them', () => {
  const target = (url: string) => {
    const { backend } = config([], { PGPIER_BACKEND: url, PGUSER: 'me' });
    assert.ok(backend.kind === 'server');
    const { host, port, user, database } = backend.target;
    return `${user} ${host} ${port} ${database}`;
  };
  assert.equal(target('postgresql:///db?host=/run/pg&port=6000'), 'me /run/pg 6000 db');
  assert.equal(target('postgres://a%40b@%2Frun%2Fpg/d%20b'), 'a@b /run/pg 5432 d b');
  assert.equal(target('postgres://u@[::1]:7000'), 'u ::1 7000 u');
  assert.equal(target('postgres://'), 'me 127.0.0.1 5432 me');
});

test('an address that others can reach needs a password of the embedded server, and says so', () => {
  for (const host of ['0.0.0.0', '[::]', '', '192.168.1.5', 'db.example'])
    assert.match(mistakes(['--listen', `${host}:6432`]).join(), /PGPIER_PASSWORD/, host);
  for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', 'localhost']) config(['--listen', `${host}:6432`]);
  config(['--listen', '0.0.0.0:6432'], { PGPIER_PASSWORD: 'x' });
  config(['--listen', '0.0.0.0:6432'], { PGPIER_BACKEND: 'postgres://u@h/' });
});

test('help names every setting, and so does the README', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  for (const setting of settings as readonly Setting[]) {
    for (const text of [helpText(), readme]) assert.ok(text.includes(variableOf(setting.name)), setting.name);
    if (!setting.secret) assert.ok(helpText().includes(`--${setting.name}`), setting.name);
    else assert.ok(!helpText().includes(`--${setting.name} `), setting.name);
  }
});

test('a variable that is no setting is warned of', () => {
  assert.match(config([], { PGPIER_LISTN: 'x' }).warnings.join(), /PGPIER_LISTN/);
});

test('a port is shared with a successor before a server that stays', () => {
  const backend = ['--backend', 'postgres://u@db.example/app'];
  assert.deepEqual([config(backend).reusePort, config(backend).relays], [false, 1]);
  assert.deepEqual([config([...backend, '--reuse-port']).reusePort, config(['--relays', '64']).relays], [true, 64]);
  assert.match(mistakes(['--reuse-port']).join(), /--reuse-port needs PGPIER_BACKEND/);
});

test('peers are other nodes, each once, with a number that fits a byte of a cancel key', () => {
  const made = config(['--node-id', '1', '--peers', '2=db-b.example:6432, 255=[fd00::3]:7000']);
  assert.deepEqual(made.peers, {
    nodeId: 1,
    others: new Map([
      [2, { host: 'db-b.example', port: 6432 }],
      [255, { host: 'fd00::3', port: 7000 }],
    ]),
  });
  assert.equal(config([]).peers, undefined);
  const wrong = (peers: string, ...more: string[]): string => mistakes(['--peers', peers, ...more]).join('\n');
  for (const text of ['2', '2=', 'x=h:1', '2=h', '0=h:1', '256=h:1', '2=h:0', '2=h:1,', '2=h:1 3=h:2'])
    assert.match(wrong(text), /--peers holds ".*"; a peer is written 2=10\.0\.0\.2:6432, with a number up to 255/, text);
  assert.match(wrong('1=h:1'), /--peers names node 1, which is this one; it lists the others/);
  assert.match(wrong('2=h:1,2=i:1'), /--peers names node 2 twice/);
  assert.match(wrong('2=h:1', '--node-id', '256'), /--node-id is 256; with peers it is at most 255/);
});
