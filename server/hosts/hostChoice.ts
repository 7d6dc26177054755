/**
 * Which of several hosts the next connection goes to, by libpq's rules for target_session_attrs. libpq finds out by logging in, which a proxy cannot
 * do for its clients: their password is good for one try. So PgPier asks with its own login, and believes an answer for a second.
 */
import { PgPierError } from '../../errors.ts';
import { formatAddress } from '../configuration/address.ts';
import type { Host, HostList, SessionAttrs } from '../configuration/connectionUri.ts';
import type { Hosts } from '../login/listenerOptions.ts';

/** What a server says of itself. */
export interface HostState {
  readonly inRecovery: boolean;
  /** New transactions are read-only: on a standby, or by default_transaction_read_only. */
  readonly readOnly: boolean;
}

/** Rejects with what is wrong with the host, in bounded time. */
export type Probe = (host: Host) => Promise<HostState>;

interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

type Known =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'up'; readonly state: HostState; readonly at: number }
  | { readonly kind: 'down'; readonly at: number };

/** How long an answer is believed. */
const upForMs = 1_000;
/** A host that failed is left alone for so long, then asked again beside the others. */
const downForMs = 3_000;

interface Candidate {
  readonly host: Host;
  known: Known;
  probing: Promise<void> | undefined;
}

export class HostChoice implements Hosts {
  readonly #candidates: readonly Candidate[];
  readonly #passes: readonly ((state: HostState) => boolean)[];
  readonly #attrs: SessionAttrs;
  readonly #shuffled: boolean;
  readonly #probe: Probe;
  readonly #log: Log;

  constructor(list: HostList, probe: Probe, log: Log) {
    this.#candidates = list.hosts.map((host) => ({ host, known: { kind: 'unknown' }, probing: undefined }));
    this.#passes = passesOf[list.sessionAttrs];
    this.#attrs = list.sessionAttrs;
    this.#shuffled = list.shuffled;
    this.#probe = probe;
    this.#log = log;
  }

  /** Rejects with PgPierError `backendUnreachable` when there is no such host now. */
  async choose(): Promise<Host> {
    const order = this.#shuffled ? shuffle(this.#candidates) : this.#candidates;
    return (await this.#among(order, false)) ?? (await this.#among(order, true)) ?? this.#none();
  }

  /** A connection to the host failed, or it turned out to be of another kind than it said. */
  failed({ host, port }: Host): void {
    for (const candidate of this.#candidates)
      if (candidate.host.host === host && candidate.host.port === port) this.#learn(candidate, { kind: 'down', at: performance.now() });
  }

  contradicts(parameters: ReadonlyMap<string, string>): boolean {
    const inHotStandby = parameters.get('in_hot_standby');
    if (inHotStandby === undefined) return false;
    const readOnly = inHotStandby === 'on';
    // A primary may be read-only for other reasons; a standby is never anything else.
    if (this.#attrs === 'read-only' && !readOnly) return false;
    return !this.#passes.some((fits) => fits({ inRecovery: readOnly, readOnly }));
  }

  /** @param insist whether all are asked anew, those that failed a moment ago too: by what is known there is no other */
  async #among(order: readonly Candidate[], insist: boolean): Promise<Host | undefined> {
    for (const fits of this.#passes) {
      for (const candidate of order) {
        const { known } = candidate;
        const age = known.kind === 'unknown' ? 0 : performance.now() - known.at;
        // A host in silence would hold each login up: while another serves, it is asked in the background.
        if (known.kind === 'down' && !insist) {
          if (age > downForMs) void this.#ask(candidate);
          continue;
        }
        if (known.kind !== 'up' || age > upForMs || insist) await this.#ask(candidate);
        if (candidate.known.kind === 'up' && fits(candidate.known.state)) return candidate.host;
      }
    }
    return undefined;
  }

  /** One question at a time to each host. */
  #ask(candidate: Candidate): Promise<void> {
    candidate.probing ??= this.#probe(candidate.host)
      .then(
        (state) => this.#learn(candidate, { kind: 'up', state, at: performance.now() }),
        (error: unknown) => this.#learn(candidate, { kind: 'down', at: performance.now() }, error),
      )
      .finally(() => {
        candidate.probing = undefined;
      });
    return candidate.probing;
  }

  #learn(candidate: Candidate, known: Known, error?: unknown): void {
    const [before, now] = [inWords(candidate.known), inWords(known)];
    candidate.known = known;
    if (before === now) return;
    const host = formatAddress(candidate.host);
    if (known.kind === 'down') this.#log.warn({ host, reason: error instanceof Error ? error.message : undefined }, `${host} is ${now}`);
    else this.#log.info({ host }, `${host} is ${now}`);
  }

  #none(): never {
    const reached = this.#candidates.some(({ known }) => known.kind === 'up');
    const reason = reached ? `none of its hosts ${wantedWords[this.#attrs]}` : 'none of its hosts lets PgPier in';
    throw new PgPierError('backendUnreachable', { reason }, { severity: 'FATAL' });
  }
}

const always = (): boolean => true;
const passesOf: Readonly<Record<SessionAttrs, readonly ((state: HostState) => boolean)[]>> = {
  any: [always],
  'read-write': [({ readOnly }) => !readOnly],
  'read-only': [({ readOnly }) => readOnly],
  primary: [({ inRecovery }) => !inRecovery],
  standby: [({ inRecovery }) => inRecovery],
  'prefer-standby': [({ inRecovery }) => inRecovery, always],
};

const wantedWords: Readonly<Record<SessionAttrs, string>> = {
  any: 'can be used',
  'read-write': 'takes writes',
  'read-only': 'is read-only',
  primary: 'is a primary',
  standby: 'is a standby',
  'prefer-standby': 'can be used',
};

function inWords(known: Known): string {
  if (known.kind !== 'up') return known.kind === 'down' ? 'not usable' : 'unknown';
  const { inRecovery, readOnly } = known.state;
  return inRecovery ? 'a standby' : readOnly ? 'a primary, read-only' : 'a primary';
}

/** Fisher and Yates's. */
function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
  }
  return shuffled;
}
