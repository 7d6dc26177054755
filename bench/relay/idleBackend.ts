/**
 * Stands in for PostgreSQL where thousands of its sessions would not fit beside the measured proxy: greets, answers each Query with an empty
 * one, and keeps still. The proxy's own sessions, told by their application_name, are led to a real server. `node idleBackend.ts SOCKET REAL`.
 */
import { connect, createServer } from 'node:net';

const text = (...parts: string[]): Buffer => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const status: readonly (readonly [string, string])[] = [
  ['server_version', '15.18'],
  ['server_encoding', 'UTF8'],
  ['client_encoding', 'UTF8'],
  ['DateStyle', 'ISO, MDY'],
  ['TimeZone', 'UTC'],
  ['integer_datetimes', 'on'],
  ['standard_conforming_strings', 'on'],
  ['session_authorization', 'postgres'],
];
const ready = message('Z', Buffer.from('I'));
let pid = 1000;

const server = createServer((socket) => {
  let greeted = false;
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => {
    if (!greeted && bytes.includes('application_name\0pgpier')) {
      const server = connect(process.argv[3]!);
      server.on('error', () => socket.destroy());
      socket.removeAllListeners('data');
      server.write(bytes);
      socket.pipe(server).pipe(socket);
    } else if (!greeted) {
      greeted = true;
      const key = Buffer.alloc(8);
      key.writeInt32BE(++pid);
      key.writeInt32BE(pid * 7, 4);
      const parameters = status.map(([name, value]) => message('S', text(name, value)));
      socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ...parameters, message('K', key), ready]));
    } else if (bytes[0] === 0x51) socket.write(Buffer.concat([message('I', Buffer.alloc(0)), ready]));
  });
});
server.listen(process.argv[2], () => process.stdout.write('ready\n'));
