import type { Link } from './link.ts';

/** Bytes both ways between two links that are not read yet; `resume` is the caller's. Resolves when one of them is closed, which ends the other. */
export function joinLinks(client: Link, backend: Link): Promise<void> {
  const done = new Promise<void>((resolve) => {
    client.onClose = () => {
      backend.destroy();
      resolve();
    };
    backend.onClose = () => {
      client.end();
      resolve();
    };
  });
  pump(client, backend);
  pump(backend, client);
  return done;
}

function pump(from: Link, to: Link): void {
  from.onBytes = (chunk) => to.write(chunk);
  from.onEnd = () => to.end();
  to.onDrain = () => from.resume();
}
