const DELAYS_MS = [1_000, 2_000, 4_000, 8_000, 16_000];
const STABLE_MS = 60_000;

/** How long to wait before a server that died is started again: longer each time, and not for ever. */
export class Backoff {
  #failures = 0;

  /** Milliseconds to wait after a server that lived `livedMs`; null when it is time to give up and ask. */
  next(livedMs: number): number | null {
    if (livedMs >= STABLE_MS) {
      this.#failures = 0;
    }
    const delay = DELAYS_MS[this.#failures];
    this.#failures += 1;
    return delay ?? null;
  }

  /** Forget the failures: someone asked for a fresh start. */
  reset(): void {
    this.#failures = 0;
  }
}
