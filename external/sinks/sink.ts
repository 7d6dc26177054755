/**
 * What every sink offers, and promises: a place that changefeeds send messages to. Every failure is a PgPierError whose text is safe to show (errors.ts,
 * "Sinks"): it holds no credentials, and of the other side's answer only its code. A cancelled wait is 57014, and each request has a deadline.
 */
export interface Sink {
  /** Where this is, without secrets, for messages: `kafka://broker:9092`. */
  readonly location: string;

  /**
   * Connects, proves who we are, and asks what the other side tells about itself. Nothing is written.
   * @throws PgPierError 08xxx out of reach, 28000 refused credentials, 42501 no permission
   */
  describe(options?: { readonly signal?: AbortSignal }): Promise<SinkDescription>;

  /**
   * Sends one message that says it is a probe, and waits until it is acknowledged; never to where a user's own messages go, unless the sink has one place alone.
   * @throws PgPierError as `describe`
   */
  probe(options?: { readonly signal?: AbortSignal }): Promise<SinkProbe>;

  /** Frees sockets. Nothing else may be called afterwards. */
  close(): Promise<void>;
}

export interface SinkDescription {
  /** What was found, in words for the user: `3 brokers, 12 topics`. */
  readonly summary: string;
}

export interface SinkProbe {
  /** Where the message went, in words for the user: `topic "pgpier_check"`. */
  readonly where: string;
  /** Of the message. */
  readonly bytes: number;
  readonly milliseconds: number;
}

/** What a check of a sink found. A sink that cannot be reached is an answer, not a failure of the check. */
export type SinkReport =
  | { readonly kind: 'reached'; readonly description: SinkDescription; readonly probe?: SinkProbe }
  | { readonly kind: 'failed'; readonly error: string };
