/** How far a long transfer is, on stderr: a line that is written over on a terminal, else a new one now and then. */
const QUIET_BYTES = 16 * 1024 * 1024;
const TERMINAL_MS = 500;
const LOG_MS = 10_000;

export class Progress {
  readonly #verb: string;
  /** Bytes, where they are known. */
  readonly #total: number | undefined;
  readonly #begun = performance.now();
  readonly #terminal = process.stderr.isTTY === true;
  #last = performance.now();
  #done = 0;
  #shown = false;

  constructor(verb: string, total: number | undefined) {
    this.#verb = verb;
    this.#total = total;
  }

  add(bytes: number): void {
    this.#done += bytes;
    const now = performance.now();
    if (now - this.#last < (this.#terminal ? TERMINAL_MS : LOG_MS) || (this.#total ?? this.#done) < QUIET_BYTES) return;
    this.#last = now;
    this.#show();
  }

  end(): void {
    if (this.#shown && this.#terminal) process.stderr.write('\n');
    this.#shown = false;
  }

  #show(): void {
    const share = this.#total ? ` of ${size(this.#total)} (${Math.floor((100 * this.#done) / this.#total)} %)` : '';
    const speed = size(Math.round((1000 * this.#done) / (performance.now() - this.#begun)));
    const text = `${this.#verb} ${size(this.#done)}${share}, ${speed}/s`;
    process.stderr.write(this.#terminal ? `\r${text.padEnd(70)}` : `${text}\n`);
    this.#shown = true;
  }
}

function size(bytes: number): string {
  return bytes < 1024 ** 3 ? `${(bytes / 1024 ** 2).toFixed(1)} MiB` : `${(bytes / 1024 ** 3).toFixed(2)} GiB`;
}
