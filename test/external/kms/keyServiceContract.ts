/** external/kms/keyService.ts as a test. Every provider runs it against a server that is not ours, where one can be had. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { type KeyService, longestPlaintext } from '../../../external/kms/keyService.ts';
import { rejectsWith } from '../storageContract.ts';

export interface KeyPlace {
  /** The key `first`, and another one of the same service. */
  open(key: 'first' | 'second'): Promise<KeyService>;
  /** What keeps the server from being had. */
  readonly missing?: string;
  /** Secrets of the URIs and the names of the keys that must not be seen. */
  readonly secrets: readonly string[];
  /** The SQLSTATE for another key's ciphertext, where this server refuses it in other words than the service itself: 22023. */
  readonly otherKey?: string;
}

export function runKeyServiceContract(provider: string, place: () => KeyPlace): void {
  const test = (title: string, body: (service: KeyService, place: KeyPlace) => Promise<void>) =>
    it(title, async (t) => {
      const here = place();
      if (here.missing) return t.skip(`${provider}: ${here.missing}`);
      const service = await here.open('first');
      try {
        await body(service, here);
      } finally {
        await service.close();
      }
    });

  test('what it encrypts, it decrypts: one byte, a data key, the longest text', async (service) => {
    for (const size of [1, 32, longestPlaintext]) {
      const plaintext = randomBytes(size);
      const ciphertext = await service.encrypt(plaintext);
      assert.equal(ciphertext.includes(plaintext) && size > 1, false);
      assert.ok((await service.decrypt(ciphertext)).equals(plaintext), `${size} bytes`);
    }
  });

  test('the same text never gives the same ciphertext', async (service) => {
    const [one, other] = await Promise.all([service.encrypt(Buffer.from('text')), service.encrypt(Buffer.from('text'))]);
    assert.equal(one.equals(other), false);
  });

  test('another opening decrypts it: nothing is kept in memory', async (service, here) => {
    const ciphertext = await service.encrypt(Buffer.from('for years'));
    const later = await here.open('first');
    try {
      assert.equal(String(await later.decrypt(ciphertext)), 'for years');
      assert.equal(later.keyId, service.keyId);
    } finally {
      await later.close();
    }
  });

  test('what was changed, cut, made up or made by another key is refused as a ciphertext', async (service, here) => {
    const ciphertext = await service.encrypt(Buffer.from('text'));
    const changed = Buffer.from(ciphertext);
    changed[changed.length - 1]! ^= 1;
    for (const bytes of [changed, ciphertext.subarray(0, -1), randomBytes(256), Buffer.from('x')])
      await rejectsWith(() => service.decrypt(bytes), '22023', /ciphertext/);
    const second = await here.open('second');
    try {
      assert.notEqual(second.keyId, service.keyId);
      await rejectsWith(() => second.decrypt(ciphertext), here.otherKey ?? '22023', here.otherKey ? /./ : /ciphertext/);
    } finally {
      await second.close();
    }
  });

  test('nothing and too much are refused before they go anywhere', async (service) => {
    for (const size of [0, longestPlaintext + 1]) await rejectsWith(() => service.encrypt(Buffer.alloc(size)), '22023', /1 to 190 bytes/);
  });

  test('a cancelled call is 57014', async (service) => {
    const reason = AbortSignal.abort();
    await rejectsWith(() => service.encrypt(Buffer.from('text'), { signal: reason }), '57014', /^canceled/);
    await rejectsWith(() => service.decrypt(Buffer.alloc(64), { signal: reason }), '57014', /^canceled/);
  });

  test('its location tells neither key nor secret', async (service, here) => {
    for (const secret of here.secrets) assert.equal(service.location.includes(secret), false, service.location);
  });
}
