/**
 * One end of a session: a byte stream with callback-free writes (figures: docs/performance.md). The relay knows nothing else of sockets:
 * socketLink.ts has Node's, server/native/ those of the addon.
 */
export interface Link {
  /**
   * Called with each chunk read. The bytes are valid during the call only (the read buffer is reused), unless it returns false: then reading stops
   * until `resume()`, and the chunk stays valid until then.
   */
  onBytes: (chunk: Buffer) => boolean;
  /** The peer will send nothing more (FIN). */
  onEnd: () => void;
  /** The stream is gone; called once. */
  onClose: (error?: Error) => void;
  /** Everything written so far has left; called after a `write` that returned false. */
  onDrain: () => void;
  /** False: the bytes are still in the process; do not change the buffer, and stop producing until `onDrain`. */
  write(chunk: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /** Sends FIN after what was written. */
  end(): void;
  destroy(): void;
  readonly encrypted: boolean;
  /** Since the connection's beginning; it need only differ after each read. */
  readonly bytesRead: number;
}
