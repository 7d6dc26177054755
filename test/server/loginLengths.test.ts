/** Every message with every length that it cannot have, where a client is asked for its password: the login ends as it ends at PostgreSQL. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { errorIn, type Lab, RawClient, startLab, startup } from './loginLab.ts';

const hba = 'local all postgres trust\nlocal all sam scram-sha-256\nhost all sam 127.0.0.1/32 scram-sha-256\n';
/** Without Terminate: PgPier takes it for the goodbye that it is, PostgreSQL complains to a client that is gone. */
const types = 'pQPBEDCSHdcfFRZ\0\xff'.split('');
const lengths = [-2_147_483_648, -1, 0, 3, 4, 5, 100, 65_536, 1_073_741_824, 2_147_483_647];

for (const version of [15, 18] as const) {
  const missing = missingPostgres(version);
  let postgres: Postgres;
  let lab: Lab;
  before(async () => {
    if (missing) return;
    postgres = await startPostgres({ version, hba });
    lab = await startLab({ host: postgres.socketDir, port: postgres.port });
  });
  after(async () => {
    await lab?.listener.stop();
    await postgres?.stop();
  });

  test(`instead of a SASL message each type and length ends the login as PostgreSQL ${version} ends it`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    for (const type of types) {
      const [bare, proxied] = await Promise.all(
        [postgres.port, lab.port].map((port) => Promise.all(lengths.map((length) => end(port, type, length)))),
      );
      // PostgreSQL closes what is too short or too long as a wrong password, and PgPier says what was wrong with it.
      if (type === 'p') for (const each of [...proxied!, ...bare!]) assert.match(each, /^-?\d+: FATAL (08P01|28P01) /);
      else assert.deepEqual(proxied, bare, JSON.stringify(type));
    }
  });
}

/** What it hears after the request for SASL, when it has sent that, and FIN where the message is longer than what is sent of it. */
async function end(port: number, type: string, length: number): Promise<string> {
  const client = await RawClient.connect(port);
  client.send(startup('sam'));
  await client.until((c) => c.types() === 'R');
  client.received = Buffer.alloc(0);
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(length, 1);
  client.socket.end(Buffer.concat([head, Buffer.alloc(Math.max(0, Math.min(length - 4, 1_000)))]));
  return `${length}: ${errorIn(await client.toEnd())}`;
}
