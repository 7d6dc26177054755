/** What depends on a connection: told by DROP EXTERNAL CONNECTION, and what RESTRICT refuses for. A new kind of dependant is a row here. */
import type { ExternalConnection } from './connections.ts';
import type { Job, Jobs } from './jobs.ts';
import type { Privileges } from './privileges.ts';

export interface Dependants {
  /** In words, as `job 1009 (BACKUP, running)`: those that the asker may see. */
  readonly shown: readonly string[];
  /** How many others there are. */
  readonly hidden: number;
}

export interface DependantSources {
  readonly jobs: Jobs;
  readonly privileges: Privileges;
}

type Source = (sources: DependantSources, connection: ExternalConnection) => Promise<Dependants>;

const kinds: readonly Source[] = [
  /** Jobs that have not ended and whose statement named it. */
  async ({ jobs, privileges }, { id }) => {
    const all = await jobs.ofConnection(id);
    const visible = await privileges.visibleJobs(all);
    return { shown: visible.map(jobInWords), hidden: all.length - visible.length };
  },
];

const jobInWords = ({ id, type, state }: Job): string => `job ${id} (${type}, ${state})`;

export async function dependantsOf(sources: DependantSources, connection: ExternalConnection): Promise<Dependants> {
  const found = await Promise.all(kinds.map((kind) => kind(sources, connection)));
  return { shown: found.flatMap(({ shown }) => shown), hidden: found.reduce((sum, { hidden }) => sum + hidden, 0) };
}
