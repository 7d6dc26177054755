/** What `partWriter.ts` asks of Azure for one blob: Put Blob, or blocks and a block list. */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockBlobClient } from '@azure/storage-blob';
import type { AzureRequest } from '../azure/errors.ts';
import { azureBlobError } from './azureErrors.ts';
import { abortMilliseconds, growingPartSize, type PartUpload } from './partWriter.ts';

/**
 * Ids of blocks, of one length for all of a blob (Azure insists): whose they are, when the upload began, the writer, the number. Two writers of one name do not
 * take each other's blocks for their own.
 */
const idPrefix = 'pgpier';
const blockId = (begun: number, writer: Buffer, number: number): string => {
  const numbers = Buffer.alloc(12);
  numbers.writeBigUInt64BE(BigInt(begun));
  numbers.writeUInt32BE(number, 8);
  return Buffer.concat([Buffer.from(idPrefix), numbers.subarray(0, 8), writer, numbers.subarray(8)]).toString('base64');
};

/** When the upload of a block with this id began; undefined for blocks of others. */
export function begunOf(id: string): Date | undefined {
  const bytes = Buffer.from(id, 'base64');
  if (bytes.length !== 26 || bytes.toString('latin1', 0, idPrefix.length) !== idPrefix) return undefined;
  return new Date(Number(bytes.readBigUInt64BE(idPrefix.length)));
}

/** Hands the blob to one request, and by another client to the same request where credentials are refused. Throws what the SDK throws. */
type SendBy = <T>(run: (blob: BlockBlobClient) => Promise<T>) => Promise<T>;

/** Up to 2.8 TiB. */
export function azureUpload(sendBy: SendBy, request: AzureRequest, ifAbsent: boolean): PartUpload {
  const condition = ifAbsent ? { conditions: { ifNoneMatch: '*' } } : {};
  const begun = Date.now();
  const writer = randomBytes(8);
  const idOf = (number: number) => blockId(begun, writer, number);
  let parts = 0;
  return {
    location: request.location,
    signal: request.signal,
    reusesMemory: true,
    mostParts: 50_000,
    partSize: growingPartSize,

    async put(body, signal) {
      const options = { ...condition, abortSignal: signal, blobHTTPHeaders: { blobContentMD5: md5(body) } };
      await sendBy((blob) => blob.upload(body, body.length, options));
    },

    async begin() {},

    async send(number, body, signal) {
      const options = { abortSignal: signal, transactionalContentMD5: md5(body) };
      await sendBy((blob) => blob.stageBlock(idOf(number), body, body.length, options));
      parts = Math.max(parts, number);
    },

    async complete(signal) {
      const ids = Array.from({ length: parts }, (_, index) => idOf(index + 1));
      await sendBy((blob) => blob.commitBlockList(ids, { ...condition, abortSignal: signal }));
    },

    /** A block that was cut off may still be on its way inside the server: it is looked for twice more. */
    async remove(wasCut) {
      const signal = AbortSignal.timeout(abortMilliseconds);
      for (let left = wasCut ? 3 : 1, wait = 200; left > 0; left -= 1, wait *= 2) {
        await sendBy((blob) => dropBlocks(blob, signal)).catch(() => {});
        if (left > 1) await sleep(wait, undefined, { signal }).catch(() => {});
      }
    },

    toError: (error, signal) => azureBlobError(error, { ...request, signal }),
  };
}

/**
 * Drops the uncommitted blocks of a name that has no blob. Azure has no call for that: an empty blob is made, which drops them, and deleted at once, each under
 * the condition that nobody came in between. Where there is a blob its blocks are left to Azure, which drops them a week later.
 * @returns whether there was something to drop
 */
export async function dropBlocks(blob: BlockBlobClient, abortSignal: AbortSignal): Promise<boolean> {
  try {
    const { uncommittedBlocks } = await blob.getBlockList('uncommitted', { abortSignal });
    if ((uncommittedBlocks ?? []).length === 0) return false;
    const { etag } = await blob.commitBlockList([], { abortSignal, conditions: { ifNoneMatch: '*' } });
    await blob.delete({ abortSignal, ...(etag === undefined ? {} : { conditions: { ifMatch: etag } }) });
    return true;
  } catch (error) {
    const { statusCode } = error as { readonly statusCode?: number };
    // Not there any more; or there is a blob now; or it was replaced before it was deleted.
    if (statusCode === 404 || statusCode === 409 || statusCode === 412) return false;
    throw error;
  }
}

/** Azure compares it with what arrived. */
function md5(body: Buffer): Uint8Array {
  return createHash('md5').update(body).digest();
}
