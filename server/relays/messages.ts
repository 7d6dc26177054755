/** What the main thread and the threads of the other relays tell each other. */
import type { ErrorData } from '../../errors.ts';
import type { DoorDirectories } from '../hosts/door.ts';
import type { Listener } from '../login/listener.ts';
import type { EmbeddedAt } from './backend.ts';

/** `workerData` of a thread. It reads the configuration again, from the same arguments and environment: that holds secrets, which are no plain data. */
export interface ThreadSettings {
  readonly number: number;
  readonly argv: readonly string[];
  /** What the main thread found or made: the address that it listens on, and the embedded server. */
  readonly listen: Listener['address'];
  readonly embedded?: EmbeddedAt;
  readonly doors: DoorDirectories;
  /** Whether places are counted for all relays together: then a thread asks for each. */
  readonly counted: boolean;
}

export type Figures = Listener['counters'] & { readonly sessions: number };

export type ToThread =
  | { readonly kind: 'stop' | 'reload' | 'handOver' }
  | { readonly kind: 'figures'; readonly id: number }
  /** The answer to `place`. */
  | { readonly kind: 'place'; readonly id: number; readonly refusal?: ErrorData };

export type Place = { readonly kind: 'client'; readonly address: string | undefined } | { readonly kind: 'role'; readonly role: string };

export type FromThread =
  | { readonly kind: 'ready' | 'handedOver' }
  | { readonly kind: 'cannotStart'; readonly reason: string }
  | { readonly kind: 'figures'; readonly id: number; readonly figures: Figures }
  /** Asks for a place among all clients, or among the sessions of a role (`ClientLimits`). */
  | { readonly kind: 'place'; readonly id: number; readonly of: Place }
  /** Gives the place back that was asked for with this id. */
  | { readonly kind: 'leave'; readonly id: number };
