/** All metrics of one athlete, asked for once a second while anything on the screen shows them. */
import { age_ms, freshness, HR_LATE_MS, type Freshness } from "./ages";
import { age } from "./format";
import { ms, type AthleteMetrics, type MetricNow } from "./messages";

const EVERY_MS = 1_000;
/** An answer takes milliseconds; a gateway that needs this long has gone. */
const GIVE_UP_MS = 3_000;

const PROBLEMS: Readonly<Record<number, string>> = { 404: "The gateway does not know this athlete." };

function pause(for_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, for_ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}

export class AthleteFeed {
  answer = $state.raw<AthleteMetrics | null>(null);
  /** Why the newest question had no answer, in plain words; null once one came. */
  problem = $state<string | null>(null);
  readonly #athlete: string;
  #watchers = 0;
  #stop: AbortController | null = null;

  constructor(athlete: string) {
    this.#athlete = athlete;
  }

  /** Asks until the returned function is called; several may watch, one asks. */
  watch(): () => void {
    this.#watchers += 1;
    if (this.#stop === null) {
      this.#stop = new AbortController();
      void this.#keep_asking(this.#stop.signal);
    }
    return () => {
      this.#watchers -= 1;
      if (this.#watchers > 0) return;
      this.#stop?.abort();
      this.#stop = null;
    };
  }

  now(metric: string): MetricNow | undefined {
    return this.answer?.metrics.find((now) => now.metric === metric);
  }

  state(now_ms: number): Freshness {
    return freshness(this.#age_ms(now_ms), HR_LATE_MS);
  }

  /** What the reader must know before the numbers: that they are of now, or how old they are and why. */
  words(now_ms: number): string {
    if (this.answer === null) return this.problem ?? "Asking the gateway";
    if (this.state(now_ms) === "fresh") return "now";
    return `${age(this.#age_ms(now_ms))} old. ${this.problem ?? "No answer from the gateway."}`;
  }

  #age_ms(now_ms: number): number | null {
    return age_ms(this.answer === null ? null : ms(this.answer.sent_ns), now_ms);
  }

  async #keep_asking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const began_ms = performance.now();
      await this.#ask(signal);
      await pause(Math.max(0, EVERY_MS - (performance.now() - began_ms)), signal);
    }
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      const answer = await fetch(`/api/athletes/${encodeURIComponent(this.#athlete)}/metrics`, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(GIVE_UP_MS)]),
      });
      if (!answer.ok) {
        this.problem = PROBLEMS[answer.status] ?? `The gateway could not answer (${answer.status}).`;
        return;
      }
      this.answer = (await answer.json()) as AthleteMetrics;
      this.problem = null;
    } catch (error) {
      if (signal.aborted) return;
      console.warn("metrics of an athlete did not come", error);
      this.problem = "No answer from the gateway.";
    }
  }
}

const feeds = new Map<string, AthleteFeed>();

export function feed_of(athlete: string): AthleteFeed {
  const known = feeds.get(athlete) ?? new AthleteFeed(athlete);
  feeds.set(athlete, known);
  return known;
}
