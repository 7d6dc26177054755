/** Every script, every cut: the proxy answers what bare PostgreSQL answers, and our statements answer what their scripts say. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { agrees, asIs, type Delivery, parseScripts, type Reply, runScript, type Script } from './script.ts';
import { startWireLab, type WireLab } from './wireLab.ts';
import { byteByByte, type Endpoint, randomCuts, whole } from './wireSession.ts';

const folder = new URL('scripts/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));

const deliveries: Delivery[] = [
  asIs,
  { name: 'in one segment', perMessage: false, cut: whole },
  { name: 'one byte at a time', perMessage: false, cut: byteByByte },
  { name: 'in random cuts, seed 1', perMessage: false, cut: randomCuts(1) },
  { name: 'in random cuts, seed 2', perMessage: true, cut: randomCuts(2) },
];

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: WireLab;
    let pgpier: Pgpier;
    let proxied: Endpoint;
    before(async () => {
      lab = await startWireLab(version);
      pgpier = await startPgpier({ backend: lab.postgres });
      proxied = { host: pgpier.host, port: pgpier.port };
    });
    after(async () => {
      await pgpier?.stop();
      await lab?.stop();
    });

    for (const file of files) {
      for (const script of parseScripts(readFileSync(new URL(file, folder), 'utf8'))) {
        if (version < script.since || version >= script.before) continue;
        test(`${file}: ${script.title}`, async () => {
          const truth = script.ownOnly ? undefined : await run(script, lab.bare, asIs);
          for (const delivery of script.uncut ? [asIs] : deliveries) {
            const heard = await run(script, proxied, delivery);
            if (truth) assert.equal(transcript(heard), transcript(truth), `sent ${delivery.name}`);
            else expectOwn(heard, delivery);
          }
        });
      }
    }

    const run = async (script: Script, endpoint: Endpoint, delivery: Delivery): Promise<Reply[]> => {
      await lab.reset();
      if (script.ownOnly) await emptyCatalog(pgpier);
      return runScript(script, endpoint, lab.login, delivery);
    };
  });
}

async function emptyCatalog(pgpier: Pgpier): Promise<void> {
  const client = new pg.Client(pgpier.connectionString());
  await client.connect();
  const { rows } = await client.query('show external connections');
  for (const { connection_name } of rows) await client.query(`drop external connection ${pg.escapeIdentifier(connection_name)}`);
  await client.query('revoke system externalconnection from app');
  await client.end();
}

function expectOwn(replies: Reply[], delivery: Delivery): void {
  for (const { heard, expected } of replies) {
    if (expected.length === 0) continue;
    const same = heard.length === expected.length && heard.every((line, i) => agrees(line, expected[i]!));
    if (!same) assert.equal(heard.join('\n'), expected.join('\n'), `sent ${delivery.name}`);
  }
}

/** ParameterStatus of the greeting may come in any order. */
function transcript(replies: Reply[]): string {
  return replies
    .map(({ heard }) => (heard[0]?.startsWith('R ') ? [heard[0], ...heard.slice(1).sort()] : heard))
    .map((lines) => lines.join('\n'))
    .join('\n--\n');
}
