/** Authentication `R`: int32 kind, then what belongs to it (PostgreSQL: protocol, message formats; OAuth comes as a SASL mechanism). */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';

export type Authentication =
  | { readonly kind: 'ok' }
  | { readonly kind: 'cleartextPassword' }
  | { readonly kind: 'md5Password'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'saslContinue'; readonly data: Buffer }
  | { readonly kind: 'saslFinal'; readonly data: Buffer }
  /** One that cannot be carried through a proxy; its usual name. */
  | { readonly kind: 'other'; readonly name: string };

const otherNames: Readonly<Record<number, string>> = { 2: 'Kerberos V5', 4: 'crypt', 6: 'SCM', 7: 'GSSAPI', 8: 'GSSAPI', 9: 'SSPI' };

/** Throws RangeError where the message is too short for its kind. */
export function readAuthentication(message: Buffer): Authentication {
  const reader = new MessageReader(message);
  const kind = reader.int32();
  switch (kind) {
    case 0:
      return { kind: 'ok' };
    case 3:
      return { kind: 'cleartextPassword' };
    case 5:
      return { kind: 'md5Password', salt: reader.bytes(4) };
    case 10: {
      const mechanisms: string[] = [];
      for (let name = reader.name(); name !== ''; name = reader.name()) mechanisms.push(name);
      return { kind: 'sasl', mechanisms };
    }
    case 11:
      return { kind: 'saslContinue', data: message.subarray(9) };
    case 12:
      return { kind: 'saslFinal', data: message.subarray(9) };
    default:
      return { kind: 'other', name: otherNames[kind] ?? `number ${kind}` };
  }
}

export function authenticationCleartextPassword(): Buffer {
  return new MessageWriter(backendType.authentication).int32(3).finish();
}

export function authenticationSasl(mechanisms: readonly string[]): Buffer {
  const writer = new MessageWriter(backendType.authentication).int32(10);
  for (const mechanism of mechanisms) writer.string(mechanism);
  return writer.byte(0).finish();
}

export function authenticationSaslContinue(data: Uint8Array): Buffer {
  return new MessageWriter(backendType.authentication).int32(11).bytes(data).finish();
}

export function authenticationSaslFinal(data: Uint8Array): Buffer {
  return new MessageWriter(backendType.authentication).int32(12).bytes(data).finish();
}
