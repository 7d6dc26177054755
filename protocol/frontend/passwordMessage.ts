/** PasswordMessage: `p` and a string: the password, or `md5` and its hash. The same type byte carries SASL and GSS responses. */
import { headLength, MessageWriter } from '../frame.ts';

/** Type byte of PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse. */
export const passwordMessageType = 0x70;

/** PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH: the length field of a `p` may not be above. */
export const maxPasswordMessageLength = 65_535;

export function passwordMessage(password: Uint8Array): Buffer {
  return new MessageWriter(passwordMessageType).bytes(password).byte(0).finish();
}

/** The password's bytes; undefined where the only NUL is not the last byte. */
export function readPasswordMessage(message: Buffer): Buffer | undefined {
  if (message.indexOf(0, headLength) !== message.length - 1) return undefined;
  return message.subarray(headLength, message.length - 1);
}
