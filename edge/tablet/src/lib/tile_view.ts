/** From one athlete's tile, the time and the chosen metric to exactly what the tile shows and what it says aloud. */
import { age_ms, freshness, HR_LATE_MS, LOST_MS, PART_RECORDED, POSITION_LATE_MS, type Freshness } from "./ages";
import { age, fixed, MISSING, spoken_age, whole } from "./format";
import { ms, type Athlete, type Tile } from "./messages";
import type { Metric } from "./prefs.svelte";

export type FootIcon = "fast" | "sprint" | "target" | "pie" | null;

export interface FootItem {
  icon: FootIcon;
  text: string;
  unit: string;
  /** The number that caused the attention; shown inverted. */
  hot: boolean;
  of: Of;
}

/** What a number is of: a metric by name, with the values that it sums, or a plain quantity; in words for the button. */
export interface Of {
  name: string;
  labels: readonly string[];
  words: string;
}

export const OF = {
  heart_rate: { name: "heart_rate", labels: [], words: "Heart rate" },
  speed: { name: "speed", labels: [], words: "Speed" },
  distance: { name: "distance", labels: [], words: "Distance" },
  // What counts as high speed includes sprinting.
  high_speed: { name: "speed_band_distance", labels: ["high_speed", "sprint"], words: "High speed" },
  sprint: { name: "speed_band_distance", labels: ["sprint"], words: "Sprint" },
  trimp: { name: "trimp_banister", labels: [], words: "TRIMP" },
  zones: { name: "hr_zone_seconds", labels: [], words: "Time in zones" },
  plan: { name: "plan", labels: [], words: "Share of plan" },
  recorded: { name: "recorded", labels: [], words: "Recorded" },
} as const satisfies Record<string, Of>;

export interface TileView {
  state: Freshness;
  value: string;
  unit: string | null;
  /** What the big number is of. */
  of: Of;
  hot: boolean;
  zone: number | null;
  age: string;
  /** The last known value, once the live one is lost. */
  last: string | null;
  /** Why it is lost, in two words. */
  cause: string | null;
  trace: "hr" | "speed";
  foot: FootItem[];
  attention: string | null;
  unusual: boolean;
  coverage: number;
  label: string;
}

export interface Moment {
  now_ms: number;
  /** How long the gateway has been silent, or null while the link is up. */
  link_lost_ms: number | null;
}

interface Reading {
  state: Freshness;
  age_ms: number | null;
  text: string;
  spoken: string;
  unit: string | null;
  of: Of;
}

function heart(tile: Tile, now_ms: number): Reading {
  const old_ms = age_ms(tile.hr_ns === null ? null : ms(tile.hr_ns), now_ms);
  const text = whole(tile.hr_bpm);
  return { state: freshness(old_ms, HR_LATE_MS), age_ms: old_ms, text, spoken: `${text} beats`, unit: null, of: OF.heart_rate };
}

function speed(tile: Tile, now_ms: number): Reading {
  const old_ms = age_ms(tile.position_ns === null ? null : ms(tile.position_ns), now_ms);
  const text = whole(tile.speed_mps === null ? null : tile.speed_mps * 3.6);
  const spoken = `${text} kilometres per hour`;
  return { state: freshness(old_ms, POSITION_LATE_MS), age_ms: old_ms, text, spoken, unit: "km/h", of: OF.speed };
}

/** A total keeps its value when the position behind it is lost; its age then says up to when it counts. */
function total(tile: Tile, now_ms: number, metric: Exclude<Metric, "intensity">): Reading {
  const base = speed(tile, now_ms);
  const bound = tile.coverage !== null && tile.coverage < PART_RECORDED ? "≥" : "";
  if (metric === "volume") {
    const km = fixed(tile.distance_m === null ? null : tile.distance_m / 1000, 1);
    return { ...base, text: tile.distance_m === null ? MISSING : bound + km, spoken: `${km} kilometres`, unit: "km", of: OF.distance };
  }
  if (metric === "high_speed") {
    const m = whole(tile.high_speed_m);
    const text = tile.high_speed_m === null ? MISSING : bound + m;
    return { ...base, text, spoken: `${m} metres at high speed`, unit: "m", of: OF.high_speed };
  }
  const percent = whole(bound === "" ? tile.plan_percent : null);
  return { ...base, text: percent, spoken: `${percent} percent of plan`, unit: "%", of: OF.plan };
}

function cause(tile: Tile, reading: Reading, moment: Moment): string {
  if (reading.age_ms === null) return "Not heard yet";
  if (moment.link_lost_ms !== null && reading.age_ms - moment.link_lost_ms <= LOST_MS) return "No link";
  return tile.contact === false ? "Strap off?" : "Out of range";
}

function plan_item(tile: Tile): FootItem {
  if (tile.coverage !== null && tile.coverage < PART_RECORDED) {
    // A share of plan from part of the session would be wrong, so the recorded share stands in its place.
    return { icon: "pie", text: whole(tile.coverage * 100), unit: "%", hot: false, of: OF.recorded };
  }
  return { icon: "target", text: whole(tile.plan_percent), unit: "%", hot: tile.attention_cause === "speed", of: OF.plan };
}

function metres(tile: Tile, value_m: number | null, icon: FootIcon, of: Of): FootItem {
  const bound = value_m !== null && tile.coverage !== null && tile.coverage < PART_RECORDED ? "≥" : "";
  // From 1 000 m on, the digits need the room of the sign.
  return { icon: value_m !== null && value_m >= 1000 ? null : icon, text: bound + whole(value_m), unit: "m", hot: false, of };
}

function foot(tile: Tile, metric: Metric): FootItem[] {
  const trimp: FootItem = { icon: null, text: whole(tile.trimp), unit: "TRIMP", hot: false, of: OF.trimp };
  const fast = metres(tile, tile.high_speed_m, "fast", OF.high_speed);
  if (tile.position_ns === null && tile.high_speed_m === null) return tile.trimp === null ? [] : [trimp];
  if (metric === "volume") return [trimp, plan_item(tile)];
  if (metric === "high_speed") return [metres(tile, tile.sprint_m, "sprint", OF.sprint), plan_item(tile)];
  if (metric === "target") return [fast, { icon: null, text: fixed((tile.distance_m ?? 0) / 1000, 1), unit: "km", hot: false, of: OF.distance }];
  return [fast, plan_item(tile)];
}

function spoken_label(athlete: Athlete, view: Omit<TileView, "label">, reading: Reading): string {
  if (reading.age_ms === null) return `${athlete.name}, not heard yet`;
  const old = spoken_age(reading.age_ms);
  if (view.state === "lost" && view.last !== null) {
    return `${athlete.name}, no signal for ${old}, last ${reading.spoken}`;
  }
  const zone = view.zone === null ? "" : `, zone ${view.zone}`;
  const unusual = view.unusual ? ", unusual for this athlete" : "";
  const attention = view.attention === null ? "" : `, attention: ${view.attention}`;
  return `${athlete.name}, ${reading.spoken}${zone}, ${old} old${unusual}${attention}`;
}

export function tile_view(athlete: Athlete, tile: Tile, metric: Metric, moment: Moment): TileView {
  const has_heart = tile.hr_ns !== null;
  const live_metric = metric === "intensity";
  const reading = live_metric
    ? has_heart || tile.position_ns === null
      ? heart(tile, moment.now_ms)
      : speed(tile, moment.now_ms)
    : total(tile, moment.now_ms, metric);
  const lost = reading.state === "lost";
  const heart_state = heart(tile, moment.now_ms).state;
  // Attention is never raised on values that are no longer live.
  const attentive = reading.state === "fresh" && tile.attention !== null;
  const view: Omit<TileView, "label"> = {
    state: reading.state,
    value: lost && live_metric ? MISSING : reading.text,
    unit: reading.unit,
    of: reading.of,
    hot: attentive && live_metric && (tile.attention_cause === "hr" || tile.attention_cause === "effort"),
    zone: heart_state === "lost" ? null : tile.zone,
    age: age(reading.age_ms),
    last: lost && live_metric && reading.age_ms !== null ? reading.text : null,
    cause: lost ? cause(tile, reading, moment) : null,
    trace: has_heart ? "hr" : "speed",
    foot: foot(tile, metric).map((item) => ({ ...item, hot: item.hot && attentive })),
    attention: attentive ? tile.attention : null,
    unusual: tile.unusual && heart_state === "fresh",
    coverage: tile.coverage ?? 1,
  };
  return { ...view, label: spoken_label(athlete, view, reading) };
}

/** A tile for an athlete of whom nothing has come: missing is null, never zero. */
export function empty_tile(athlete: string): Tile {
  return {
    athlete, hr_bpm: null, hr_ns: null, hr_seq: null, contact: null, zone: null, speed_mps: null, position_ns: null,
    position_seq: null, distance_m: null, high_speed_m: null, sprint_m: null, trimp: null, zone_s: null,
    plan_percent: null, coverage: null, effort_bpm: null, effort_residual: null, unusual: false, attention: null,
    attention_cause: null, trace_bpm: null,
  };
}
