/** What the tests of Google Cloud Storage against servers of their own share: the URI that leads there, and answers as Google gives them. */
import type { ServerResponse } from 'node:http';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { Crc32c } from '../../formats/crc32c.ts';

export const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
export const token = 'ya29.hush-hush';
export const uri = (endpoint: string, more = '') =>
  `gs://bucket/path?BEARER_TOKEN=${token}&GOOGLE_ENDPOINT=${encodeURIComponent(endpoint)}${more}`;
export const open = (endpoint: string) => openStorage({ uri: uri(endpoint), trusted: true }, settings);

export const refuse = (response: ServerResponse, status: number, reason: string, message = 'SECRET-TEXT') =>
  void response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ error: { code: status, message, errors: [{ reason, message, domain: 'global' }] } }));
export const sumOf = (bytes: Buffer): string => {
  const sum = new Crc32c();
  sum.update(bytes);
  return sum.base64();
};
