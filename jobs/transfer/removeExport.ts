/** Takes back what an EXPORT left whose worker died: its files by their id, and what a writer had begun. */
import type { RemoveExportTask } from '../messages.ts';
import type { TaskRun } from './export.ts';

/** @throws PgPierError of the storage */
export async function removeExport(task: RemoveExportTask, run: TaskRun): Promise<void> {
  const storage = await run.openStorage(task.target);
  const prefix = `export${task.exportId}-`;
  const { signal } = run;
  try {
    await storage.removePartial(prefix, { signal });
    // Listed first: a page may be fetched by its position.
    const paths: string[] = [];
    for await (const { path } of storage.list(prefix, { signal })) paths.push(path);
    for (const path of paths) await storage.delete(path, { signal });
  } finally {
    await storage.close();
  }
}
