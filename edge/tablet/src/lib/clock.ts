/**
 * The gateway's time on this tablet.
 *
 * Every message says when it was sent. `sent - arrival` is the true offset minus the delay on the way, so the largest
 * value seen belongs to the smallest delay and is the best estimate. It is kept over two periods of five minutes and
 * then forgotten: two crystals drift apart by up to 100 ppm, 30 ms in five minutes, and a corrected gateway clock heals.
 */
const PERIOD_MS = 5 * 60_000;

/** A steady local clock: a correction of the tablet's own wall clock must not age any value. */
export function local_ms(): number {
  return performance.timeOrigin + performance.now();
}

export class GatewayClock {
  #best_ms: number | null = null;
  #previous_ms: number | null = null;
  #period_began_ms = 0;

  /** Forget everything. */
  reset(): void {
    this.#best_ms = null;
    this.#previous_ms = null;
  }

  observe(sent_ms: number, arrival_ms: number): void {
    const offset_ms = sent_ms - arrival_ms;
    if (this.#best_ms === null) {
      this.#period_began_ms = arrival_ms;
    } else if (arrival_ms - this.#period_began_ms > PERIOD_MS) {
      this.#previous_ms = this.#best_ms;
      this.#best_ms = null;
      this.#period_began_ms = arrival_ms;
    }
    this.#best_ms = this.#best_ms === null ? offset_ms : Math.max(this.#best_ms, offset_ms);
  }

  /** The gateway's time at a local time. */
  at(time_ms: number): number {
    if (this.#best_ms === null) return time_ms;
    return time_ms + Math.max(this.#best_ms, this.#previous_ms ?? this.#best_ms);
  }

  now(): number {
    return this.at(local_ms());
  }
}
