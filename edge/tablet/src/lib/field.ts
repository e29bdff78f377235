/** What the field map draws at one moment, in metres: pure, so that the picture follows from places and time alone. */
import { age_ms, freshness, POSITION_LATE_MS, type Freshness } from "./ages";
import { BALL, type Athlete } from "./messages";
import { place_at, trail, type Place, type Tracks } from "./tracks";

/** Scales a standard deviation to the ellipse that holds 8 of 10: sqrt(-2 ln 0.2) for two independent normals. */
export const EIGHT_OF_TEN = 1.794;
/** A path is shown up to here and never beyond. */
const AHEAD_S = 2;

export interface Ellipse {
  x_m: number;
  y_m: number;
  rx_m: number;
  ry_m: number;
}

export interface Figure {
  id: string;
  athlete: Athlete | null;
  at: Place;
  state: Freshness;
  age_ms: number;
  trail: Place[];
  path: { x_m: number; y_m: number }[];
  end: Ellipse | null;
}

export function figures(tracks: Tracks, athletes: readonly Athlete[], now_ms: number, step_s: number): Figure[] {
  const known = new Map(athletes.map((athlete) => [athlete.athlete, athlete]));
  const found: Figure[] = [];
  for (const [id, track] of tracks.by_athlete) {
    const athlete = known.get(id) ?? null;
    const newest = track.places.at(-1);
    const at = place_at(track.places, now_ms - tracks.behind_ms);
    if (at === null || newest === undefined || (athlete === null && id !== BALL)) continue;
    const old_ms = age_ms(newest.time_ms, now_ms) ?? 0;
    const state = freshness(old_ms, POSITION_LATE_MS);
    // A path from an old place would end somewhere the athlete no longer heads for.
    const steps = state === "fresh" ? track.ahead.slice(0, Math.round(AHEAD_S / step_s)) : [];
    const last = steps.at(-1);
    found.push({
      id,
      athlete,
      at,
      state,
      age_ms: old_ms,
      trail: state === "lost" ? [] : trail(track.places, at),
      path: steps.length === 0 ? [] : [at, ...steps.map(([x_m, y_m]) => ({ x_m, y_m }))],
      end: last === undefined ? null : { x_m: last[0], y_m: last[1], rx_m: last[2] * EIGHT_OF_TEN, ry_m: last[3] * EIGHT_OF_TEN },
    });
  }
  // Lost and late below, so that who is live stays readable where dots meet.
  const rank: Readonly<Record<Freshness, number>> = { lost: 0, late: 1, fresh: 2 };
  return found.sort((a, b) => rank[a.state] - rank[b.state]);
}
