/** What a model's answer about one athlete leans on: asked for by a tap, never by itself. */
import { age_ms } from "./ages";
import { fixed, MISSING, whole } from "./format";
import { ms, type Explanation, type ExplanationPart } from "./messages";

/** An answer takes milliseconds; a gateway that needs this long has gone. */
const GIVE_UP_MS = 3_000;
/** So many inputs are shown one by one; a model leans on few. */
const SHOWN = 5;
/** Of these units decimals say nothing. */
const WHOLE_UNITS: readonly string[] = ["bpm", "min"];

export class Question {
  answer = $state.raw<Explanation | null>(null);
  /** Why the newest question had no answer, in plain words; null once one came. */
  problem = $state<string | null>(null);
  asking = $state(false);
  readonly #address: string;

  constructor(athlete: string, model: string) {
    this.#address = `/api/athletes/${encodeURIComponent(athlete)}/models/${encodeURIComponent(model)}/explanation`;
  }

  age_ms(now_ms: number): number | null {
    return age_ms(this.answer === null ? null : ms(this.answer.time_ns), now_ms);
  }

  async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch(this.#address, { signal: AbortSignal.timeout(GIVE_UP_MS) });
      this.answer = answer.ok ? ((await answer.json()) as Explanation) : null;
      this.problem = answer.ok ? null : await reason(answer);
    } catch (error) {
      console.warn("an explanation did not come", error);
      this.answer = null;
      this.problem = "No answer from the gateway.";
    } finally {
      this.asking = false;
    }
  }
}

/** The gateway's own sentence, or that there is none. */
async function reason(answer: Response): Promise<string> {
  const said: unknown = await answer.json().catch(() => null);
  const problem = typeof said === "object" && said !== null && "problem" in said ? String(said.problem) : null;
  return problem === null ? `The gateway could not answer (${answer.status}).` : `${problem.charAt(0).toUpperCase()}${problem.slice(1)}.`;
}

export interface Leaned {
  shown: readonly ExplanationPart[];
  /** What is left, in one line; null when nothing is. */
  rest: string | null;
}

/** The inputs that an answer leans on most, and how little the others matter. */
export function leaned({ parts, unit }: Explanation): Leaned {
  const [shown, others] = [parts.slice(0, SHOWN), parts.slice(SHOWN)];
  const largest = Math.max(0, ...others.map((part) => Math.abs(part.contribution)));
  const bound = WHOLE_UNITS.includes(unit) ? whole(Math.ceil(largest)) : fixed(Math.ceil(largest * 10) / 10, 1);
  return {
    shown,
    rest: others.length === 0 ? null : `${others.length} other inputs, at most ${bound} ${unit} each`,
  };
}

/** "162 bpm" */
export function amount(value: number | null, unit: string): string {
  if (value === null) return MISSING;
  return `${WHOLE_UNITS.includes(unit) ? whole(value) : fixed(value, 1)} ${unit}`;
}

/** "+23 bpm", "−2 bpm", "0 bpm" */
export function signed(value: number, unit: string): string {
  const text = amount(value, unit);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}
