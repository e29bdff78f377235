/**
 * Where each dot is drawn: between two received places, never beyond the newest.
 *
 * Drawing runs a little behind the newest place, by about one interval between messages, so that there is always a
 * next place to move towards; uneven arrival then does not show.
 */
import { ms, type Dot } from "./messages";

export const TRAIL_MS = 10_000;
const MIN_BEHIND_MS = 100;
const MAX_BEHIND_MS = 700;

export interface Place {
  time_ms: number;
  x_m: number;
  y_m: number;
}

export interface Track {
  places: Place[];
  ahead: Dot["ahead"];
}

export class Tracks {
  readonly by_athlete = new Map<string, Track>();
  #interval_ms = 100;

  add(dots: readonly Dot[]): void {
    for (const dot of dots) {
      const time_ms = ms(dot.time_ns);
      const track = this.by_athlete.get(dot.athlete) ?? { places: [], ahead: [] };
      this.by_athlete.set(dot.athlete, track);
      // Set back by more than a trail, the gateway's clock was corrected: the old places are misplaced.
      if (time_ms < (track.places.at(-1)?.time_ms ?? time_ms) - TRAIL_MS) track.places = [];
      const last = track.places.at(-1);
      if (last !== undefined && time_ms <= last.time_ms) continue;
      if (last !== undefined) this.#learn(time_ms - last.time_ms);
      track.places.push({ time_ms, x_m: dot.x_m, y_m: dot.y_m });
      while ((track.places[0]?.time_ms ?? time_ms) < time_ms - TRAIL_MS - MAX_BEHIND_MS) track.places.shift();
      track.ahead = dot.ahead;
    }
  }

  /** A slow mean of the interval between places; a pause is not an interval. */
  #learn(interval_ms: number): void {
    if (interval_ms < 2_000) this.#interval_ms += (interval_ms - this.#interval_ms) * 0.05;
  }

  get behind_ms(): number {
    return Math.min(MAX_BEHIND_MS, Math.max(MIN_BEHIND_MS, this.#interval_ms * 1.2));
  }
}

/** The place at a time: interpolated, held at both ends. */
export function place_at(places: readonly Place[], time_ms: number): Place | null {
  const next = places.findIndex((place) => place.time_ms >= time_ms);
  if (next < 0) return places.at(-1) ?? null;
  const b = places[next];
  const a = places[next - 1];
  if (a === undefined || b === undefined) return b ?? null;
  const share = (time_ms - a.time_ms) / (b.time_ms - a.time_ms);
  return { time_ms, x_m: a.x_m + (b.x_m - a.x_m) * share, y_m: a.y_m + (b.y_m - a.y_m) * share };
}

/** The last ten seconds that lead to `head`, oldest first. */
export function trail(places: readonly Place[], head: Place): Place[] {
  return [...places.filter((p) => p.time_ms >= head.time_ms - TRAIL_MS && p.time_ms < head.time_ms), head];
}
