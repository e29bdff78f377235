/** The counts in the header: how many are live, and how far the cloud is behind. */
import { age_ms, freshness, HR_LATE_MS, POSITION_LATE_MS } from "./ages";
import { age, MISSING } from "./format";
import { ms, type Athlete, type Health, type Tile } from "./messages";

export interface LiveCount {
  live: number;
  expected: number;
}

/** An athlete is live while the tile shows a value; with the link gone nobody is. */
export function live_count(
  athletes: readonly Athlete[],
  tiles: ReadonlyMap<string, Tile>,
  now_ms: number,
  link_lost: boolean,
): LiveCount {
  const heard = (time_ns: number | null, late_ms: number): boolean =>
    freshness(age_ms(time_ns === null ? null : ms(time_ns), now_ms), late_ms) !== "lost";
  const live = link_lost
    ? []
    : athletes.filter((athlete) => {
        const tile = tiles.get(athlete.athlete);
        if (tile === undefined) return false;
        // Whoever wears a strap is counted by it, as on the tile; position stands in for those without one.
        return tile.hr_ns !== null ? heard(tile.hr_ns, HR_LATE_MS) : heard(tile.position_ns, POSITION_LATE_MS);
      });
  return { live: live.length, expected: athletes.length };
}

/** Offline is normal beside a pitch: an open circle and how much waits, never an alarm. */
export function sync_pill(health: Health | null, now_ms: number): { icon: "ok" | "lost"; value: string; label: string } {
  const cloud = health?.links.find((link) => link.link === "cloud");
  const oldest_ns = health?.store.oldest_unsent_ns ?? null;
  const waiting_ms = health?.sync_lag_s != null ? health.sync_lag_s * 1000 : age_ms(oldest_ns === null ? null : ms(oldest_ns), now_ms);
  const value = waiting_ms === null ? MISSING : age(waiting_ms);
  return cloud?.up ? { icon: "ok", value, label: "to sync" } : { icon: "lost", value, label: "offline" };
}
