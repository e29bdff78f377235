/** Which number was tapped, so that its formula opens over the screen. */

/** A number of an athlete, or of both teams where `athlete` is null; `labels` are the values that it is the sum of. */
export interface Asked {
  athlete: string | null;
  /** A metric's name without version, or one of the quantities of `plain.ts`. */
  name: string;
  labels: readonly string[];
}

class FormulaSheet {
  asked = $state.raw<Asked | null>(null);
  #return_to: HTMLElement | null = null;

  show(asked: Asked, from: HTMLElement | null): void {
    this.#return_to = from;
    this.asked = asked;
  }

  /** Closes; the focus goes back to the number, unless something else opens instead. */
  close(focus_back = true): void {
    this.asked = null;
    if (focus_back) this.#return_to?.focus({ preventScroll: true });
    this.#return_to = null;
  }
}

export const formula = new FormulaSheet();
