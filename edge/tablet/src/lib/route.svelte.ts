/** Which screen the address names, and which athlete's drawer is open over it. */

export type Screen = "live" | "map" | "alerts" | "health";

export const ADDRESS: Readonly<Record<Screen, string>> = {
  live: "#/",
  map: "#/map",
  alerts: "#/alerts",
  health: "#/health",
};

function screen_of(hash: string): Screen {
  const names = Object.keys(ADDRESS) as Screen[];
  return names.find((name) => ADDRESS[name] === hash) ?? "live";
}

class Route {
  screen = $state<Screen>(screen_of(location.hash));
  /** Athlete whose drawer is open, or null. */
  open = $state<string | null>(null);
  #return_to: HTMLElement | SVGElement | null = null;

  constructor() {
    addEventListener("hashchange", () => {
      const next = screen_of(location.hash);
      // The drawer stays between grid and map, where the same people are shown; the other screens need its room.
      if (next === "alerts" || next === "health") this.open = null;
      this.screen = next;
    });
  }

  go(screen: Screen): void {
    location.hash = ADDRESS[screen];
  }

  /** Opens the drawer, or swaps its content; the focus comes back to `from` when it closes. */
  show(athlete: string, from: HTMLElement | SVGElement | null): void {
    this.#return_to = from;
    this.open = athlete;
  }

  close(): void {
    this.open = null;
    this.#return_to?.focus();
    this.#return_to = null;
  }
}

export const route = new Route();
