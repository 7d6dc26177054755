import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { findKeyService, openKeyService, requireKeyService } from '../../../external/kms/keyServices.ts';
import { redactUri } from '../../../external/redact.ts';
import type { StorageSettings } from '../../../external/storage/storage.ts';
import { parseUri } from '../../../external/uri.ts';
import { rejectsWith } from '../storageContract.ts';
import { runKeyServiceContract } from './keyServiceContract.ts';

const kmsDir = mkdtempSync(join(tmpdir(), 'pgpier-kms-'));
after(() => rmSync(kmsDir, { recursive: true, force: true }));
const settings: StorageSettings = { kmsDir, nodeId: 1, allowedNetworks: [] };
const open = (name: string, given = settings) => openKeyService({ uri: `local-kms:///${name}`, trusted: false }, given);
const keyFile = (name: string, text: string, mode = 0o600): string => {
  const path = join(kmsDir, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
};
const firstKey = randomBytes(32);
keyFile('first', firstKey.toString('base64'));
keyFile('second', `${randomBytes(32).toString('hex')}\n`);

describe('local-kms keeps the contract of key services', () => {
  runKeyServiceContract('local-kms', () => ({ open, secrets: ['first', firstKey.toString('base64')] }));
});

describe('local-kms', () => {
  it('writes AES-256-GCM that a program of one’s own can read', async () => {
    const service = await open('first');
    const bytes = await service.encrypt(Buffer.from('by hand'));
    await service.close();
    assert.equal(bytes[0], 1);
    assert.deepEqual(bytes.subarray(1, 9), Buffer.from(hkdfSync('sha256', firstKey, '', 'pgpier local-kms key id', 8)));
    const decipher = createDecipheriv('aes-256-gcm', firstKey, bytes.subarray(9, 21)).setAAD(bytes.subarray(0, 9));
    decipher.setAuthTag(bytes.subarray(-16));
    assert.equal(Buffer.concat([decipher.update(bytes.subarray(21, -16)), decipher.final()]).toString(), 'by hand');
  });

  it('refuses a key that is missing, no key, or open to others, without telling its path', async () => {
    keyFile('words', 'not a key');
    keyFile('open', firstKey.toString('base64'), 0o640);
    mkdirSync(join(kmsDir, 'folder'));
    symlinkSync(keyFile('real', firstKey.toString('base64')), join(kmsDir, 'link'));
    for (const [name, sqlstate, text] of [
      ['missing', '42704', /^there is no local key "missing"$/],
      ['words', '55000', /32 bytes in base64 or hex$/],
      ['open', '55000', /others may read its file \(mode 0640\)$/],
      ['folder', '55000', /it is no key file$/],
      ['link', '55000', /cannot be read \(ELOOP\)$/],
    ] as const)
      await rejectsWith(() => open(name), sqlstate, text);
  });

  it('takes one plain name, and nothing else of a URI', () => {
    const validate = (text: string) => requireKeyService('local-kms').validate(parseUri(text));
    validate('local-kms:///team-1.backups');
    for (const [text, message] of [
      ['local-kms:///', /^path component of the KMS cannot be empty/],
      ['local-kms://', /^path component of the KMS cannot be empty/],
      ['local-kms://host/name', /it has no host/],
      ['local-kms:///../secret.key', /the name of a key has/],
      ['local-kms:///a/b', /the name of a key has/],
      ['local-kms:///%2e%2e%2fx', /the name of a key has/],
      ['local-kms:///.hidden', /the name of a key has/],
      ['local-kms:///name?REGION=x', /^unknown KMS query parameters: REGION$/],
    ] as const)
      assert.throws(() => validate(text), { message }, text);
    assert.throws(() => requireKeyService('rot13'), { message: 'unsupported KMS scheme: "rot13"' });
    assert.equal(findKeyService('aws'), undefined, 'an alias is no scheme of a connection');
  });

  it('is off without a directory', async () => {
    await rejectsWith(() => open('first', { nodeId: 1, allowedNetworks: [] }), '42501', /local-kms is off/);
  });

  it('is redacted to nothing but its scheme', () => {
    assert.equal(redactUri('local-kms:///payroll'), 'local-kms:///redacted');
  });
});
