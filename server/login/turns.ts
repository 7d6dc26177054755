/** Work of which only so much may run at once: the rest waits, and what is too much is dropped. */
export class Turns {
  readonly #most: { readonly running: number; readonly waiting: number };
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: { readonly running: number; readonly waiting: number }) {
    this.#most = most;
  }

  /** Resolves when the work is done, was dropped, failed, or has taken too long (it then goes on by itself). Never rejects. */
  async run(work: () => Promise<void>, timeoutMs: number): Promise<void> {
    if (!(await this.#turn())) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    try {
      await Promise.race([work().catch(() => {}), late]);
    } finally {
      clearTimeout(timer);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  /** False: too many wait already. */
  async #turn(): Promise<boolean> {
    if (this.#running < this.#most.running) {
      this.#running++;
      return true;
    }
    if (this.#waiting.length >= this.#most.waiting) return false;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return true;
  }
}
