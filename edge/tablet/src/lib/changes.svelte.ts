/** Who wears what: changes made on this tablet, told to the gateway, and for ten seconds undone by one tap. */
import type { Assign } from "./messages";

const GIVE_UP_MS = 5_000;
const UNDO_MS = 10_000;

const PROBLEMS: Readonly<Record<number, string>> = {
  400: "The gateway did not accept this sensor or athlete. Nothing was changed.",
  404: "The gateway does not know this athlete. Nothing was changed.",
  422: "The gateway did not accept this sensor or athlete. Nothing was changed.",
};

/** Tells one change; returns why it failed in plain words, or null. */
async function tell(change: Assign): Promise<string | null> {
  try {
    const answer = await fetch("/api/assignments", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(change),
      signal: AbortSignal.timeout(GIVE_UP_MS),
    });
    if (answer.ok) return null;
    return PROBLEMS[answer.status] ?? `The gateway could not do this (${answer.status}). Try again.`;
  } catch (error) {
    console.warn("a change of who wears what was not told", error);
    return "No answer from the gateway. Look at Health before you try again.";
  }
}

/** What the pairing sheet was opened with; the rest is chosen in it. */
export interface Start {
  sensor: string | null;
  athlete: string | null;
  /** The sensor that comes off once the new one is on. */
  instead: string | null;
}

interface Notice {
  text: string;
  undo: readonly Assign[];
}

class Changes {
  /** The pairing sheet, while it is open. */
  pairing = $state.raw<Start | null>(null);
  notice = $state.raw<Notice | null>(null);
  #return_to: HTMLElement | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  pair(start: Start, from: HTMLElement | null): void {
    this.#return_to = from;
    this.pairing = start;
  }

  close(): void {
    this.pairing = null;
    this.#return_to?.focus({ preventScroll: true });
    this.#return_to = null;
  }

  /** Tells the changes in order and stops at the first that fails, with the words for it. */
  async make(steps: readonly Assign[], text: string, undo: readonly Assign[]): Promise<string | null> {
    for (const [i, step] of steps.entries()) {
      const problem = await tell(step);
      if (problem !== null) return i === 0 ? problem : `The new sensor is on, but the old one is not off. ${problem}`;
    }
    this.#say({ text, undo });
    return null;
  }

  async undo(): Promise<void> {
    const undo = this.notice?.undo ?? [];
    this.notice = null;
    const problem = await this.make(undo, "Undone", []);
    if (problem !== null) this.#say({ text: problem, undo: [] });
  }

  #say(notice: Notice): void {
    clearTimeout(this.#timer);
    this.notice = notice;
    this.#timer = setTimeout(() => (this.notice = null), UNDO_MS);
  }
}

export const changes = new Changes();
