/**
 * How old a value may be before the screen says so. The rules of the design: heart rate is late after 3 s, position
 * after 2 s, and both are lost after 10 s.
 */
export type Freshness = "fresh" | "late" | "lost";

export const HR_LATE_MS = 3_000;
export const POSITION_LATE_MS = 2_000;
export const LOST_MS = 10_000;
/** Without a word for this long the link counts as gone: the gateway speaks at least once a second. */
export const LINK_SILENT_MS = 3_000;
/** Below this share of recorded session time a total is a lower bound. */
export const PART_RECORDED = 0.95;

export function freshness(age_ms: number | null, late_ms: number): Freshness {
  if (age_ms === null || age_ms > LOST_MS) return "lost";
  return age_ms > late_ms ? "late" : "fresh";
}

/** Age now, never negative: a clock estimate may be a few milliseconds early. */
export function age_ms(time_ms: number | null, now_ms: number): number | null {
  return time_ms === null ? null : Math.max(0, now_ms - time_ms);
}
