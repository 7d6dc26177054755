/** Tokens of AWS_MSK_IAM: signed as Amazon's own library signs them, in the name of the machine or of a role that moto's STS gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgPierError } from '../../../errors.ts';
import { openEgress } from '../../../external/egress.ts';
import { MskToken, mskToken } from '../../../external/sinks/mskToken.ts';
import { account, startMoto } from '../../servers/moto.ts';

const parts = (text: string): Map<string, string> => new Map(new URL(text).searchParams);
const decoded = (token: string): string => Buffer.from(token, 'base64url').toString();

// Made on 2026-11-28 by aws-msk-iam-sasl-signer-js 1.0.3 for these keys at 12:34:56.
test('a token of AWS_MSK_IAM is signed as Amazon’s own library signs it', async () => {
  const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
  for (const [sessionToken, known] of [
    [
      undefined,
      'https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&User-Agent=aws-msk-iam-sasl-signer-js%2F1.0.3&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261128%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20261128T123456Z&X-Amz-Expires=900&X-Amz-Signature=233e5e1d0972f675e2e027c48c5511d66d3d3cf6fd6ca8fe1a8551db5c6371b7&X-Amz-SignedHeaders=host',
    ],
    [
      'FwoGZXIvYXdzEA/+token==',
      'https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&User-Agent=aws-msk-iam-sasl-signer-js%2F1.0.3&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261128%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20261128T123456Z&X-Amz-Expires=900&X-Amz-Security-Token=FwoGZXIvYXdzEA%2F%2Btoken%3D%3D&X-Amz-Signature=58fe85ff6e7e690c484b4496eca026aa57330551e46f7d2e733ccc80949efd9b&X-Amz-SignedHeaders=host',
    ],
  ] as const) {
    const credentials = { ...keys, ...(sessionToken === undefined ? {} : { sessionToken }) };
    const token = await mskToken('eu-central-1', credentials, new Date('2026-11-28T12:34:56Z'));
    assert.match(token, /^[\w-]+$/);
    const wanted = parts(known).set('User-Agent', 'pgpier');
    const made = decoded(token);
    assert.deepEqual(Object.fromEntries(parts(made)), Object.fromEntries(wanted));
    assert.equal(new URL(made).host, new URL(known).host);
  }
});

test('a role is assumed for it, and one that must not be is told', async (t) => {
  const moto = await startMoto();
  if ('missing' in moto) return t.skip(moto.missing);
  const saved = { ...process.env };
  const egress = openEgress({ trusted: true, allowedNetworks: [] });
  t.after(async () => {
    process.env = saved;
    egress.close();
    await moto.stop();
  });
  const user = `arn:aws:iam::${account}:user/pier`;
  const keys = await moto.makeUser('pier', { Action: 'sts:AssumeRole', Resource: '*' });
  const arn = await moto.makeRole('feeder', { Action: 'kafka-cluster:*', Resource: '*' }, { principal: user });
  const closed = await moto.makeRole('closed', { Action: '*', Resource: '*' }, { principal: `arn:aws:iam::${account}:user/other` });
  await moto.requireAuthentication();
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: keys.accessKey,
    AWS_SECRET_ACCESS_KEY: keys.secretKey,
    AWS_ENDPOINT_URL_STS: moto.endpoint,
    AWS_REGION: 'us-east-1',
  });
  const token = (role?: { arn: string; session: string }) =>
    new MskToken({ mechanism: 'AWS_MSK_IAM', region: 'eu-west-1', ...(role && { role }) }, egress).value();

  const own = parts(decoded(await token()));
  assert.match(own.get('X-Amz-Credential')!, new RegExp(`^${keys.accessKey}/\\d{8}/eu-west-1/kafka-cluster/aws4_request$`));
  assert.equal(own.has('X-Amz-Security-Token'), false);

  const assumed = parts(decoded(await token({ arn, session: 'feed-1' })));
  assert.doesNotMatch(assumed.get('X-Amz-Credential')!, new RegExp(keys.accessKey));
  assert.ok(assumed.get('X-Amz-Security-Token'));

  await assert.rejects(token({ arn: closed, session: 'feed-1' }), (error) => {
    assert.ok(error instanceof PgPierError);
    assert.equal(error.data.sqlstate, '42501', error.message);
    assert.doesNotMatch(error.message, new RegExp(keys.secretKey));
    return true;
  });
});
