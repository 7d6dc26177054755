/** `ClientLimits` for all relays together: the main thread counts, the others ask it for each place. */
import { PgPierError, toErrorData } from '../../errors.ts';
import type { ClientLimits, Leave } from '../login/clientLimits.ts';
import type { FromThread, Place, ToThread } from './messages.ts';

/** A thread's side. `answer` is told what the main thread answers. */
export function askedLimits(send: (message: FromThread) => void): {
  readonly limits: ClientLimits;
  answer(message: Extract<ToThread, { kind: 'place' }>): void;
} {
  const asked = new Map<number, PromiseWithResolvers<Leave>>();
  let lastId = 0;
  const ask = (of: Place): Promise<Leave> => {
    const id = ++lastId;
    const waiting = Promise.withResolvers<Leave>();
    asked.set(id, waiting);
    send({ kind: 'place', id, of });
    return waiting.promise;
  };
  return {
    limits: {
      enter: (address) => ask({ kind: 'client', address }),
      authenticated: (role) => ask({ kind: 'role', role }),
    },
    answer: ({ id, refusal }) => {
      const waiting = asked.get(id);
      asked.delete(id);
      if (refusal) waiting?.reject(PgPierError.from(refusal));
      else waiting?.resolve(() => send({ kind: 'leave', id }));
    },
  };
}

/** The main thread's side of one thread. */
export function countedPlaces(
  limits: ClientLimits,
  send: (message: ToThread) => void,
): { take(id: number, of: Place): Promise<void>; leave(id: number): void } {
  const taken = new Map<number, Leave>();
  return {
    take: async (id, of) => {
      try {
        taken.set(id, await (of.kind === 'client' ? limits.enter(of.address) : limits.authenticated(of.role)));
        send({ kind: 'place', id });
      } catch (error) {
        send({ kind: 'place', id, refusal: toErrorData(error) });
      }
    },
    leave: (id) => {
      taken.get(id)?.();
      taken.delete(id);
    },
  };
}
