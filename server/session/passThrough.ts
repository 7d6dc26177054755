/** A walsender session: bytes both ways, nothing is looked at (REPL-1…3). */

import { joinLinks } from '../link/joinLinks.ts';
import type { LoggedIn, SessionHandle } from '../login/loggedIn.ts';

export function passThrough(loggedIn: LoggedIn): SessionHandle {
  const { client, backend } = loggedIn;
  const done = joinLinks(client, backend);
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
