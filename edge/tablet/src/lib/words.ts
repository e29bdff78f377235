/** Words for people: what a number means and how it is counted. Short, plain, sentence case. */
import { fixed, whole } from "./format";
import type { Athlete, ModelHealth, Tile } from "./messages";

/** How each total is counted; shown when its label is tapped. */
export const FORMULAS = {
  distance: "Sum of the way between filtered positions, one place after the other.",
  high_speed: "Metres covered above 5.5 m/s (19.8 km/h).",
  sprint: "Metres covered above 7.0 m/s (25.2 km/h).",
  trimp: "Banister: Σ minutes × x × a e^(b x), x = (heart rate − rest) ÷ (max − rest); men a 0.64, b 1.92, women 0.86, 1.67.",
  plan: "Distance so far ÷ the distance planned for this session.",
  coverage: "Share of the session with readings behind these totals. Below 95 % they are lower bounds, marked ≥.",
} as const;

export type Formula = keyof typeof FORMULAS;

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

export function team_name(athlete: Athlete): string {
  return athlete.team === 0 ? "dark" : "light";
}

export const CAUSES = { hr: "Heart rate", speed: "Running", effort: "Effort" } as const;
