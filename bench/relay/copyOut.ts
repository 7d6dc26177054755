/** COPY … TO STDOUT through an endpoint. */
import { connect } from 'node:net';
import { encodeLine, startupPacket } from '../../test/wire/encode.ts';
import { cpuSeconds, type Endpoint } from './endpoint.ts';
import type { Sample } from './rounds.ts';
import { address, run } from './transactions.ts';

/** ReadyForQuery, idle. Six bytes of data could look like it; the table's do not. */
const readyForQuery = Buffer.from('Z\0\0\0\x05I', 'latin1');

/** MB/s into a socket whose bytes are counted and dropped; over TLS through psql, which reads faster than Node does. CPU per MB. */
export async function copyOut(endpoint: Endpoint, megabytes: number): Promise<Sample> {
  const before = cpuSeconds(endpoint);
  const seconds = await (endpoint.tls ? throughPsql(endpoint) : counted(endpoint));
  return { rate: megabytes / seconds, cpu: (cpuSeconds(endpoint) - before) / megabytes };
}

async function throughPsql(endpoint: Endpoint): Promise<number> {
  const start = performance.now();
  await run('psql', [...address(endpoint), '-qX', '-o', '/dev/null', '-c', 'copy bulk to stdout', 'postgres'], true);
  return (performance.now() - start) / 1000;
}

function counted(endpoint: Endpoint): Promise<number> {
  return new Promise((resolve, reject) => {
    let start = 0;
    const socket = connect({
      port: endpoint.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(256 * 1024),
        callback(size, chunk) {
          if (!Buffer.from(chunk.buffer, chunk.byteOffset, size).subarray(-6).equals(readyForQuery)) return true;
          if (start === 0) {
            start = performance.now();
            socket.write(encodeLine('Q "copy bulk to stdout"'));
          } else {
            socket.destroy();
            resolve((performance.now() - start) / 1000);
          }
          return true;
        },
      },
    });
    socket.on('error', reject).write(startupPacket({ user: 'postgres', database: 'postgres' }));
  });
}
