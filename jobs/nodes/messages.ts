/** What a proxy says to the process that serves the files of its node. */
import type { StorageSettings } from '../../external/storage/storage.ts';

export type ToFileProcess =
  /** The first message. */
  | { readonly kind: 'start'; readonly settings: StorageSettings & { readonly nodeKey: string } }
  /** With the socket of another node, whose request has been read and not answered. */
  | { readonly kind: 'connection'; readonly id: number }
  /** The proxy has let go of that socket. Until then it may read what belongs to the process, so the node is not answered before. */
  | { readonly kind: 'released'; readonly id: number }
  /** What is under way has so long. */
  | { readonly kind: 'stop'; readonly withinMs: number };

export type FromFileProcess = {
  readonly kind: 'log';
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
};
