/** SASLInitialResponse: `p`, the mechanism as a string, int32 length of the initial response (−1: none), the response. SASLResponse: `p`, bytes. */
import { headLength, MessageReader, MessageWriter } from '../frame.ts';
import { passwordMessageType } from './passwordMessage.ts';

export interface SaslInitialResponse {
  readonly mechanism: string;
  /** Undefined: none was sent. */
  readonly response: Buffer | undefined;
}

export function saslInitialResponse(mechanism: string, response: Uint8Array): Buffer {
  return new MessageWriter(passwordMessageType).string(mechanism).int32(response.length).bytes(response).finish();
}

/** Where the lengths do not add up, how: it ends too early, or there is more than it says. */
export function readSaslInitialResponse(message: Buffer): SaslInitialResponse | 'tooShort' | 'tooLong' {
  try {
    const reader = new MessageReader(message);
    const mechanism = reader.name();
    const length = reader.int32();
    const response = length === -1 ? undefined : reader.bytes(length);
    return reader.atEnd ? { mechanism, response } : 'tooLong';
  } catch (error) {
    if (error instanceof RangeError) return 'tooShort';
    throw error;
  }
}

export function saslResponse(response: Uint8Array): Buffer {
  return new MessageWriter(passwordMessageType).bytes(response).finish();
}

export function readSaslResponse(message: Buffer): Buffer {
  return message.subarray(headLength);
}
