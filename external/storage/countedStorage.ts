/** A storage whose bytes are counted: those that callers give to it and get from it, whatever it does to bring them through. */
import type { ReadOptions, Storage, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

/** Bytes so far. */
export interface Bytes {
  written: number;
  read: number;
}

/** @param bytes is counted up */
export function countBytes(storage: Storage, bytes: Bytes): Storage {
  return {
    get location() {
      return storage.location;
    },
    async write(path: string, options?: WriteOptions): Promise<StorageWriter> {
      const writer = await storage.write(path, options);
      return {
        async write(chunk) {
          await writer.write(chunk);
          bytes.written += chunk.length;
        },
        finish: () => writer.finish(),
        abort: () => writer.abort(),
      };
    },
    async *read(path: string, options?: ReadOptions): AsyncIterable<Buffer> {
      for await (const chunk of storage.read(path, options)) {
        bytes.read += chunk.length;
        yield chunk;
      }
    },
    list: (prefix, options): AsyncIterable<StoredObject> => storage.list(prefix, options),
    delete: (path, options) => storage.delete(path, options),
    removePartial: (prefix, options) => storage.removePartial(prefix, options),
    close: () => storage.close(),
  };
}
