/** A walsender session: bytes both ways, nothing is looked at (REPL-1…3). */

import type { Link } from '../link/link.ts';
import type { LoggedIn, SessionHandle } from '../login/loggedIn.ts';

function pump(from: Link, to: Link): void {
  from.onBytes = (chunk) => to.write(chunk);
  from.onEnd = () => to.end();
  to.onDrain = () => from.resume();
}

export function passThrough(loggedIn: LoggedIn): SessionHandle {
  const { client, backend } = loggedIn;
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
  const destroy = (): void => {
    client.destroy();
    backend.destroy();
  };
  if (loggedIn.backendBytes.length > 0) client.write(loggedIn.backendBytes);
  if (loggedIn.clientBytes.length > 0) backend.write(loggedIn.clientBytes);
  client.resume();
  backend.resume();
  return {
    cancel: () => loggedIn.forwardCancel(),
    drain: () => {
      // A walsender is never idle; its client reconnects and goes on from where it was.
      destroy();
      return done;
    },
    // Never idle, as for PostgreSQL: a standby may have nothing to receive for days.
    idleMark: () => undefined,
    endIdle: () => {},
    destroy,
    done,
  };
}
