/** A reporter for `node --test`: each skipped test as a line of JSON. And the reasons for which a skip is no failure under CI=true. */
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface Skip {
  readonly file: string;
  readonly test: string;
  readonly reason: string;
}

/** What no machine that reaches only npm and Debian can have. A skip's reason begins with the name of what is missing. */
const CANNOT_EXIST: readonly RegExp[] = [
  /^docker\b/i,
  /^testcontainers\b/i,
  // Debian 12 has Go 1.19, and modules come from a registry of their own.
  /^(pgx|(gcp-kms: )?googleapis): (Go is too old|the module cannot be fetched)/,
  // Built by .ci/run where Go's registry and Python's are reached; neither npm nor Debian 12 has them.
  /^(minio|versitygw|moto|gcs): /,
  // From Maven Central.
  /^(kafka|apicurio): no (jars|registry)/,
];

export const isAllowedSkip = ({ reason }: Skip): boolean => CANNOT_EXIST.some((pattern) => pattern.test(reason));

export default async function* skips(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { skip, name, file } = event.data;
    if (skip === undefined || skip === false) continue;
    const line: Skip = {
      file: file === undefined ? '' : relative(process.cwd(), file),
      test: name,
      reason: typeof skip === 'string' && skip !== '' ? skip : 'no reason given',
    };
    yield `${JSON.stringify(line)}\n`;
  }
}
