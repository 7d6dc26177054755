/** A process as a worker is one, which moves objects through the Storage interface: asked by IPC, it answers with what that took. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { openStorage } from '../../external/storage/storages.ts';

export interface Transfer {
  readonly what: 'put' | 'get';
  readonly uri: string;
  readonly path: string;
  /** What is put, or where what is got goes. Undefined: zeros, or nowhere. */
  readonly file?: string;
  /** Bytes of zeros to put. */
  readonly size: number;
}

export interface Transferred {
  readonly milliseconds: number;
  /** User and system time, in milliseconds. */
  readonly cpu: number;
  /** The process's peak so far, in MiB. */
  readonly peak: number;
}

const chunk = 256 * 1024;
const settings = { nodeId: 1, allowedNetworks: [] };

process.on('message', async (asked: Transfer) => {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const storage = await openStorage({ uri: asked.uri, trusted: true }, settings);
  await (asked.what === 'put' ? put : get)(storage, asked);
  await storage.close();
  const milliseconds = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  process.send!({ milliseconds, cpu: (user + system) / 1000, peak: process.resourceUsage().maxRSS / 1024 } satisfies Transferred);
});

type Storage = Awaited<ReturnType<typeof openStorage>>;

async function put(storage: Storage, { path, file, size }: Transfer): Promise<void> {
  const writer = await storage.write(path);
  if (file !== undefined) for await (const bytes of createReadStream(file, { highWaterMark: chunk })) await writer.write(bytes);
  else for (let at = 0; at < size; at += chunk) await writer.write(Buffer.alloc(Math.min(chunk, size - at)));
  await writer.finish();
}

async function get(storage: Storage, { path, file, size }: Transfer): Promise<void> {
  const target = file === undefined ? undefined : await open(file, 'w');
  let got = 0;
  let batch: Buffer[] = [];
  let batched = 0;
  // One write of a megabyte goes on while the next one comes: a write for each of a socket's 64 KiB would be measured instead.
  let writing: Promise<unknown> = Promise.resolve();
  const flush = async () => {
    await writing;
    if (batch.length > 0) writing = target!.writev(batch);
    batch = [];
    batched = 0;
  };
  for await (const bytes of storage.read(path)) {
    got += bytes.length;
    if (target === undefined) continue;
    batch.push(bytes);
    batched += bytes.length;
    if (batched >= 1024 * 1024) await flush();
  }
  await flush();
  await writing;
  await target?.close();
  if (got !== size) throw new Error(`${got} bytes of ${size}`);
}
