/** The lengths of a broker's answers, watched as they come: kafkajs keeps whatever it is sent until an answer is whole. */
import type { Socket } from 'node:net';
import { PgPierError } from '../../errors.ts';

/** Of one message of Kafka's. What begins with a longer length is something else: "HTTP" read as a length is 1.2 GB. */
const longestAnswer = 100 * 1024 * 1024;

/** Ends a connection whose next answer would be longer than any of Kafka's is; kafkajs would wait for it, and keep what comes. */
export function watchAnswers(socket: Socket, endpoint: string): void {
  /** The length of the next answer, as far as it is here; and what is left of the one that has begun. */
  let head = Buffer.alloc(0);
  let left = 0;
  socket.on('data', (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; ) {
      if (left > 0) {
        const taken = Math.min(left, bytes.length - at);
        left -= taken;
        at += taken;
        continue;
      }
      const piece = bytes.subarray(at, at + 4 - head.length);
      at += piece.length;
      head = Buffer.concat([head, piece]);
      if (head.length < 4) return;
      left = head.readUInt32BE();
      if (left > longestAnswer) {
        socket.destroy(stranger(endpoint, head));
        return;
      }
      head = Buffer.alloc(0);
    }
  });
}

/** Who does not speak Kafka's protocol: TLS begins an alert with 21 and 3. */
function stranger(endpoint: string, bytes: Buffer): PgPierError {
  if (bytes[0] === 21 && bytes[1] === 3) return new PgPierError('kafkaClosed', { endpoint, expects: 'TLS (tls_enabled=true)' });
  return new PgPierError('storageProtocol', { endpoint, provider: 'Kafka', cause: 'not its protocol' });
}
