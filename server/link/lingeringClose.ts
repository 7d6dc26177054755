/** Ends a link so that the peer reads what was written last: closing a socket with unread bytes resets it, and the reset overtakes an error message. */
import type { Link } from './link.ts';

const lingerMs = 2_000;

/** Takes the link's handlers: FIN after what was written, then what comes is thrown away until the peer ends too, two seconds at most. Resolves when it is gone. */
export function lingeringClose(link: Link): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      link.destroy();
      resolve();
    }, lingerMs);
    link.onBytes = () => true;
    // The socket closes itself once both directions have ended.
    link.onEnd = () => {};
    link.onDrain = () => {};
    link.onClose = () => {
      clearTimeout(timer);
      resolve();
    };
    link.end();
    link.resume();
  });
}
