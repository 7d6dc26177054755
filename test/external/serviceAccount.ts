/** A key of a service account, whose tokens come from a server of the test. */
import { generateKeyPairSync } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { serve } from './faultServer.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

export const accountEmail = 'a@p.iam.gserviceaccount.com';
/** PEM, of what the account signs. */
export const accountKey = publicKey;

/** In base64, as CREDENTIALS takes it. `changes`: fields to have otherwise. */
export function serviceAccount(tokenUri: string, changes: object = {}): string {
  const key = { type: 'service_account', client_email: accountEmail, private_key: privateKey, token_uri: tokenUri };
  return Buffer.from(JSON.stringify({ ...key, ...changes })).toString('base64');
}

/** The address of a server that gives a token to whoever asks. */
export async function serveTokens(t: TestContext, token = 'ya29.token'): Promise<string> {
  const answer = (response: ServerResponse) => void response.end(JSON.stringify({ access_token: token, expires_in: 3600 }));
  return `${(await serve(t, (_, response) => answer(response))).endpoint}/token`;
}
