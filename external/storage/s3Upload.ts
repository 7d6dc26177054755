/** What `partWriter.ts` asks of S3 for one object: a PUT, or a multipart upload. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { PgPierError } from '../../errors.ts';
import { statusOf, type Thrown } from '../aws/thrown.ts';
import { abortMilliseconds, growingPartSize, type PartUpload } from './partWriter.ts';
import { type S3Request, s3Error } from './s3Errors.ts';

export interface S3Object {
  /** Hands the client to one request, and another one to the same request where credentials are refused. Throws what the SDK throws. */
  readonly send: <T>(run: (client: S3Client) => Promise<T>) => Promise<T>;
  readonly bucket: string;
  readonly key: string;
  /** Whether parts carry checksums; the upload must then be begun with the algorithm's name. */
  readonly checksums: boolean;
  /** Encryption and storage class. */
  readonly headers: Readonly<Record<string, string>>;
  readonly ifAbsent: boolean;
  readonly request: S3Request;
}

/** What repeating does not change; the last is an error of ours, as where the right to the connection is gone. */
const hopeless = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'PgPierError']);

/** Up to 406 GiB. */
export function s3Upload({ send: sendBy, bucket, key, checksums, headers, ifAbsent, request }: S3Object): PartUpload {
  const target = { Bucket: bucket, Key: key };
  const condition = ifAbsent ? { IfNoneMatch: '*' } : {};
  const parts: CompletedPart[] = [];
  let id: string | undefined;
  const notS3 = (cause: string) => new PgPierError('storageProtocol', { endpoint: request.endpoint, provider: 'S3', cause });
  return {
    location: request.location,
    signal: request.signal,
    reusesMemory: true,
    mostParts: 10_000,
    partSize: growingPartSize,

    async put(body, signal) {
      const command = new PutObjectCommand({ ...target, ...headers, ...condition, Body: body });
      const sent = await sendBy((client) => client.send(command, { abortSignal: signal }));
      if (!sent.ETag) throw notS3('no ETag');
    },

    async begin() {
      const checksum = checksums ? { ChecksumAlgorithm: 'CRC32' as const } : {};
      const command = new CreateMultipartUploadCommand({ ...target, ...headers, ...checksum });
      const begun = await sendBy((client) => client.send(command));
      if (!begun.UploadId) throw notS3('no UploadId');
      id = begun.UploadId;
    },

    async send(number, body, signal) {
      const command = new UploadPartCommand({ ...target, UploadId: id, PartNumber: number, Body: body });
      const sent = await sendBy((client) => client.send(command, { abortSignal: signal }));
      if (!sent.ETag) throw notS3('no ETag');
      const part: CompletedPart = { PartNumber: number, ETag: sent.ETag };
      if (sent.ChecksumCRC32) part.ChecksumCRC32 = sent.ChecksumCRC32;
      parts.push(part);
    },

    async complete(signal) {
      parts.sort((a, b) => a.PartNumber! - b.PartNumber!);
      const command = new CompleteMultipartUploadCommand({ ...target, ...condition, UploadId: id, MultipartUpload: { Parts: parts } });
      await sendBy((client) => client.send(command, { abortSignal: signal }));
    },

    /**
     * A part that was cut off may still be on its way inside the server and outlive the abort: Amazon's own advice is to repeat it until no part
     * is left. What stays even so is left to `removePartial`; there is nobody to tell.
     */
    async remove(wasCut) {
      const abortSignal = AbortSignal.timeout(abortMilliseconds);
      const command = new AbortMultipartUploadCommand({ ...target, UploadId: id });
      const pass = () => sendBy((client) => client.send(command, { abortSignal })).then(() => undefined, codeOf);
      let left = wasCut ? 3 : 1;
      for (let wait = 200; left > 0 && !abortSignal.aborted; wait *= 2) {
        const refusal = await pass();
        if (refusal !== undefined && hopeless.has(refusal)) return;
        if (refusal === undefined || refusal === 'NoSuchUpload') left -= 1;
        if (left > 0) await sleep(wait, undefined, { signal: abortSignal }).catch(() => {});
      }
    },

    toError: (error, signal) =>
      ifAbsent && (codeOf(error) === 'NotImplemented' || statusOf(error as Thrown) === 501)
        ? new PgPierError('storageConditionUnknown', { location: request.location })
        : s3Error(error, { ...request, signal }),
  };
}

function codeOf(error: unknown): string {
  return String((error as { readonly name?: unknown }).name);
}
