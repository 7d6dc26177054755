/** The addon as TypeScript sees it (addon.c), and where it is found. */
import { createRequire } from 'node:module';
import { addonPath } from './build.mjs';
import type { NativeLink } from './nativeLink.ts';

/** What `onEvent` is told of; as `enum event` in events.c. */
export const event = {
  /** Bytes were read: their offset in the buffer and their length. They are there during the call only. */
  bytes: 0,
  /** FIN. */
  ended: 1,
  drained: 2,
  /** Once; nothing comes after it. */
  closed: 3,
  /** Of a client link: the fast path was left. A RawLeftPath. */
  left: 4,
  /** Of a client link: ParameterStatus messages that have passed. A Buffer. */
  parameters: 5,
} as const;

/** LeftPath with numbers where that has words. */
export interface RawLeftPath {
  readonly clientBytes: Buffer;
  readonly backendBytes: Buffer;
  readonly clientPassing: number;
  readonly backendPassing: number;
  readonly clientBusy: boolean;
  readonly backendBusy: boolean;
  readonly pending: Buffer;
  readonly skipping: boolean;
  /** As `enum copy_in`. */
  readonly copyIn: number;
  readonly executesSinceSync: number;
  /** A character's code. */
  readonly status: number;
  readonly wasIdle: boolean;
}

type OnEvent = (this: NativeLink, kind: number, first: number | Buffer | RawLeftPath, second: number) => void;

/** A link that is gone is passed over in silence by all of these. */
export interface Addon {
  /** Once in each thread. `candidates`: the tables of statement/candidate.ts. */
  initialize(buffer: Buffer, onEvent: OnEvent, candidates: readonly [Uint8Array, Int32Array]): void;
  /** Makes `link` one over a duplicate of the descriptor, paused. False: it cannot be watched. */
  open(link: NativeLink, fd: number): boolean;
  write(link: NativeLink, bytes: Uint8Array): boolean;
  setReading(link: NativeLink, on: boolean): void;
  end(link: NativeLink): void;
  destroy(link: NativeLink): void;
  bytesRead(link: NativeLink): number;
  /** Once for two links. All below take the client's. */
  join(client: NativeLink, backend: NativeLink): void;
  begin(client: NativeLink, status: number): boolean;
  leave(client: NativeLink): RawLeftPath | undefined;
  idle(client: NativeLink): boolean;
}

/** @throws Error saying why there is none: not built here, or of no use to this Node. */
export function loadAddon(): Addon {
  return createRequire(import.meta.url)(addonPath()) as Addon;
}
