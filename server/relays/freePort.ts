import * as net from 'node:net';
import { PgPierError } from '../../errors.ts';
import type { Address } from '../configuration/address.ts';
import { formatAddress } from '../configuration/address.ts';

/** Several relays share their port, and then the kernel lets any process of this account share it. Rejects with PgPierError `cannotListen` when one has it. */
export async function portMustBeFree({ host, port }: Address): Promise<void> {
  if (port === 0) return;
  await new Promise<void>((resolve, reject) => {
    const server = net.createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      // What else is wrong with the address, the listener tells.
      if (error.code !== 'EADDRINUSE') return resolve();
      reject(new PgPierError('cannotListen', { address: formatAddress({ host, port }), reason: 'the port is in use' }));
    });
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}
