/**
 * SASL OAUTHBEARER (RFC 7628) as kafkajs takes a mechanism of one's own. Its own one does not look at the broker's answer, goes on as if a refused token were taken, and
 * loses the reason.
 */
interface SaslExchange {
  saslAuthenticate(exchange: {
    readonly request: { encode(): Buffer };
    readonly response: { decode(raw: Buffer): Buffer; parse(data: Buffer): Buffer };
  }): Promise<unknown>;
}

/** @param token may reject; its error is passed on */
export function bearerLogin(token: () => Promise<string>) {
  return {
    mechanism: 'OAUTHBEARER',
    authenticationProvider: ({ saslAuthenticate }: SaslExchange) => ({
      async authenticate() {
        const message = Buffer.from(`n,,\x01auth=Bearer ${await token()}\x01\x01`);
        const answer = await saslAuthenticate({
          request: { encode: () => Buffer.concat([lengthOf(message), message]) },
          response: { decode: (raw) => raw, parse: (raw) => raw.subarray(4) },
        });
        // Nothing for a token that was taken, JSON with a reason for another.
        if (answer instanceof Buffer && answer.length > 0) throw new BearerRefused();
      },
    }),
  };
}

/** Named as what kafkajs throws for the other mechanisms. */
class BearerRefused extends Error {
  override readonly name = 'KafkaJSSASLAuthenticationError';
  readonly retriable = false;
}

function lengthOf(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(message.length);
  return length;
}
