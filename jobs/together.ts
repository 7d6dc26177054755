/**
 * Runs all side by side. When one fails the others' signal aborts; all have ended when this settles, so that what they shared may be closed.
 * @throws what failed first; the signal's reason
 */
export async function together<T extends readonly unknown[]>(
  signal: AbortSignal,
  works: { readonly [Index in keyof T]: (signal: AbortSignal) => Promise<T[Index]> },
): Promise<T> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  const results = await Promise.all(
    works.map((work) =>
      work(either).catch((error) => {
        failure ??= { error };
        stop.abort(error);
      }),
    ),
  );
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  return results as unknown as T;
}
