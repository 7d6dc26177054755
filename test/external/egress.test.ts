import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { judgeAddress, networks, openEgress } from '../../external/egress.ts';

describe('an address', () => {
  it('of a metadata service is one in every spelling', () => {
    for (const address of [
      '169.254.169.254',
      '169.254.0.1',
      '::ffff:169.254.169.254',
      '::FFFF:A9FE:A9FE',
      '::ffff:0:169.254.169.254',
      '::169.254.169.254',
      '64:ff9b::169.254.169.254',
      '2002:a9fe:a9fe::1',
      'fe80::1',
      'fe80::1%eth0',
      'febf::',
      'fd00:ec2::254',
      'fd00:ec2:0:0::254',
      '100.100.100.200',
      '168.63.129.16',
    ]) {
      assert.equal(judgeAddress(address), 'metadata', address);
    }
  });

  it('of this machine or a private network is local', () => {
    for (const address of [
      '127.0.0.1',
      '127.255.0.9',
      '0.0.0.0',
      '10.0.0.1',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::127.0.0.1',
      '64:ff9b::10.0.0.1',
      'fc00::1',
      'fdff::',
      '224.0.0.1',
      '255.255.255.255',
      'ff02::1',
    ]) {
      assert.equal(judgeAddress(address), 'local', address);
    }
  });

  it('of the public internet is neither', () => {
    for (const address of [
      '8.8.8.8',
      '172.32.0.1',
      '172.15.0.1',
      '169.253.0.1',
      '52.216.0.1',
      '2600:1f18::1',
      '::ffff:8.8.8.8',
      '64:ff9b::8.8.8.8',
    ]) {
      assert.equal(judgeAddress(address), undefined, address);
    }
  });
});

describe('a request', () => {
  const attempt = (url: string, rules: Parameters<typeof openEgress>[0]) => {
    const egress = openEgress(rules);
    return new Promise<string>((resolve) => {
      get(url, { agent: egress.httpAgent }, (response) => {
        response.resume();
        resolve(`HTTP ${response.statusCode}`);
      }).on('error', (error) => resolve(error instanceof PgPierError ? error.data.sqlstate : String(error)));
    }).finally(() => egress.close());
  };

  it('is judged by the address that is dialled, whatever the name or its spelling', async () => {
    const server = createServer((_, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      for (const host of ['127.0.0.1', 'localhost', '0x7f000001', '2130706433', '127.1', '[::ffff:127.0.0.1]', '0.0.0.0']) {
        const url = `http://${host}:${port}/`;
        assert.equal(await attempt(url, { trusted: false, allowedNetworks: [] }), '42501', host);
        assert.equal(await attempt(url, { trusted: false, allowedNetworks: ['10.0.0.0/8', '::2'] }), '42501', host);
        assert.equal(await attempt(url, { trusted: true, allowedNetworks: [] }), 'HTTP 200', host);
      }
      assert.equal(await attempt(`http://localhost:${port}/`, { trusted: false, allowedNetworks: ['127.0.0.0/8'] }), 'HTTP 200');
      assert.equal(await attempt(`http://127.0.0.1:${port}/`, { trusted: false, allowedNetworks: ['127.0.0.1'] }), 'HTTP 200');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('to a metadata service is refused to all, even when its network is listed', async () => {
    assert.equal(await attempt('http://169.254.169.254/', { trusted: true, allowedNetworks: ['169.254.0.0/16', '0.0.0.0/0'] }), '42501');
  });

  it('for the machine’s own credentials may reach its metadata service, and nothing else by that', () => {
    const own = openEgress({ trusted: false, allowedNetworks: [], machineMetadata: true });
    own.check('169.254.169.254');
    assert.throws(() => own.check('10.0.0.1'), PgPierError);
    own.close();
  });

  it('meets an error at once when the list is no list', () => {
    for (const entry of ['', 'localhost', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0/8', '1.2.3.4/-1']) {
      assert.throws(() => networks([entry]), PgPierError, entry);
    }
  });
});
