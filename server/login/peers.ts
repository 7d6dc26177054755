/**
 * Other PgPiers before the same PostgreSQL. Behind a load balancer a CancelRequest reaches any of them; the first byte of the secrets that we mint says
 * which node has the session, and the request is passed on there, once.
 */
import type { CancelKey } from '../../protocol/frontend/cancelRequest.ts';
import { connectBackend } from './backend.ts';
import { forwardCancel } from './forwardCancel.ts';

/** The largest that a node's number may be where it is told to clients. */
export const maxNodeId = 255;

export interface Peers {
  readonly nodeId: number;
  /** Where the others listen for clients, by their numbers. */
  readonly others: ReadonlyMap<number, { readonly host: string; readonly port: number }>;
}

/** Behind the secret of a request that was passed on. Two nodes that each take the other for the owner would pass it to and fro for ever. */
const passedOn = Buffer.from('\0PgPier\0', 'latin1');

/** The request as its client sent it, and whether it came by way of another node. */
export function arrived({ pid, secret }: CancelKey): { readonly key: CancelKey; readonly byPeer: boolean } {
  const end = secret.length - passedOn.length;
  if (end <= 0 || !secret.subarray(end).equals(passedOn)) return { key: { pid, secret }, byPeer: false };
  return { key: { pid, secret: secret.subarray(0, end) }, byPeer: true };
}

/** The node that minted this secret, if it is another. */
export function ownerOf({ secret }: CancelKey, { nodeId, others }: Peers): { readonly host: string; readonly port: number } | undefined {
  return secret[0] === nodeId ? undefined : others.get(secret[0]!);
}

/** Resolves when the other node has closed the connection, which it does when the cancel is delivered, or could not be reached in time. Never rejects. */
export async function passOn({ pid, secret }: CancelKey, to: { readonly host: string; readonly port: number }): Promise<void> {
  // Encrypted where it can be: the secret is worth something as long as the session lasts.
  await forwardCancel(
    { pid, secret: Buffer.concat([secret, passedOn]) },
    { again: (signal) => connectBackend({ ...to, sslmode: 'prefer' }, signal) },
  );
}
