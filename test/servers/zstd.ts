/** The zstd program, with which tests read what PgPier wrote. */
import { spawnSync } from 'node:child_process';

/** The reason to skip a test that needs it; false where it is there. */
export const missingZstd: string | false = spawnSync('zstd', ['--version']).status === 0 ? false : 'zstd: not installed';
