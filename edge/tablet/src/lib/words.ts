/** Words for people: what a number means and how it is counted. Short, plain, sentence case. */
import { fixed, MISSING, whole } from "./format";
import type { Athlete, GapEntry, ModelHealth, SessionEntry, Tile } from "./messages";

export interface EffortWords {
  unusual: boolean;
  text: string;
  detail: string;
}

/** The effort model in words: what was expected, what came, compared with the athlete's own spread only. */
export function effort_words(tile: Tile): EffortWords | null {
  if (tile.effort_bpm === null || tile.hr_bpm === null) return null;
  const apart = Math.round(tile.hr_bpm - tile.effort_bpm);
  const side = apart > 0 ? "above" : "below";
  const beats = `${Math.abs(apart)} ${Math.abs(apart) === 1 ? "beat" : "beats"}`;
  const text = apart === 0 ? "as expected" : `${beats} ${side} expected`;
  const spread = tile.effort_residual === null ? "" : `, ${fixed(Math.abs(tile.effort_residual), 1)} × own usual spread`;
  return {
    unusual: tile.unusual,
    text: tile.unusual ? `Unusual for this athlete: ${text}` : `As usual: ${text}`,
    detail: `Expected ${whole(tile.effort_bpm)}, now ${whole(tile.hr_bpm)}${spread}`,
  };
}

const MODELS: Readonly<Record<string, string>> = { effort: "Effort", trajectory: "Movement ahead" };

export function model_name(name: string): string {
  return MODELS[name] ?? sentence(name);
}

export const MODEL_STATES: Readonly<Record<ModelHealth["state"], string>> = {
  empty: "Empty",
  staged: "Staged",
  checked: "Checked",
  shadow: "Shadow",
  active: "Active",
  reverted: "Reverted",
  refused: "Refused",
};

const LINKS: Readonly<Record<string, string>> = {
  clock: "Gateway clock",
  store: "Local database",
  broker: "Sensor broker",
  cloud: "Cloud",
  adapter: "Bluetooth adapter",
  releases: "Model releases",
};

export function link_name(link: string): string {
  return LINKS[link] ?? sentence(link);
}

/** "heart_rate_strap" -> "Heart rate strap" */
export function sentence(name: string): string {
  const plain = name.replaceAll(/[_.-]+/g, " ").trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** What a sensor is; before it was heard nobody knows. */
export function sensor_kind(kind: string): string {
  return kind === MISSING ? "Sensor" : sentence(kind);
}

/** Teams are named by what the map draws, which is the same in both themes. */
export const TEAMS = ["Circles", "Squares"] as const;

export function team_name(team: number): string {
  return TEAMS[team] ?? `Team ${team + 1}`;
}

/** "17 Lindholm" */
export function who(athlete: Athlete | undefined): string {
  return athlete === undefined ? "Unknown" : `${athlete.number} ${athlete.name}`;
}

/** How a sensor's readings come. */
export const MODES = { connected: "Connected", advertising: "Broadcasts only", broker: "Through broker" } as const;

export const CAUSES = { hr: "Heart rate", speed: "Running", effort: "Effort" } as const;

/** Percent of the store's quota from each of which more is left out; `edge/store/pressure.py` has the same. */
export const WATERMARKS = [70, 85, 95] as const;

const PRESSURES: Readonly<Record<string, string>> = {
  normal: "Everything is kept",
  thin_imu: "Filling: one in four readings of raw motion is kept",
  thin_positions: "Nearly full: no raw motion, and one in five positions is kept",
  essential: "Full: neither raw motion nor positions are kept",
};

/** What the store gives up at its fill, in words. */
export function pressure_words(pressure: string): { pressed: boolean; text: string } {
  return { pressed: pressure !== "normal", text: PRESSURES[pressure] ?? sentence(pressure) };
}

/** How far a session has come on its way to the cloud; `done` when all of it is there. */
export function session_state(session: SessionEntry): { done: boolean; text: string } {
  const { complete, removed, unsent_batches: left } = session;
  if (removed) return { done: complete, text: complete ? "Complete in cloud, removed from this gateway" : "Removed from this gateway" };
  if (complete) return { done: true, text: "Complete in cloud" };
  if (left > 0) return { done: false, text: `${whole(left)} ${left === 1 ? "batch" : "batches"} to go` };
  return { done: false, text: session.ended_ns === null ? "Being recorded" : "Sent, the cloud's count is awaited" };
}

export type GapKind = "Thinned" | "Dropped" | "Damaged" | "Removed" | "Refused" | "Missed";

const STREAMS: Readonly<Record<string, string>> = { all: "All streams", imu: "Motion (IMU)", ecg: "ECG", rr: "RR intervals" };

const GAP_KINDS: readonly (readonly [RegExp, GapKind])[] = [
  [/thin/i, "Thinned"],
  [/damaged/i, "Damaged"],
  [/^removed/i, "Removed"],
  [/not taken by the cloud/i, "Refused"],
  [/keep up|too late|dropped|left out|full/i, "Dropped"],
];

/** What became of readings that are missing, and why: kept thinner and given up are told from never received. */
export function gap_words(gap: GapEntry): { kind: GapKind; stream: string; text: string } {
  const kind = GAP_KINDS.find(([pattern]) => pattern.test(gap.reason))?.[1] ?? "Missed";
  const text = gap.reason.replaceAll("_", " ").replace(new RegExp(`^${kind}[:,]?\\s*`, "i"), "");
  return { kind, stream: STREAMS[gap.stream] ?? sentence(gap.stream), text };
}
