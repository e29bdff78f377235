/** The gateway's catalogue of metrics: which one a number comes from, and how its values are written. Pure. */
import { fixed, MISSING, whole } from "./format";
import type { MetricInfo, MetricNow } from "./messages";

/** `hr_zone_seconds@2` -> `hr_zone_seconds` */
export function metric_name(metric: string): string {
  return metric.split("@")[0] ?? metric;
}

function version(metric: string): number {
  return Number(metric.split("@")[1] ?? 0);
}

/** The newest version of a metric by its name, or null where the gateway has none. */
export function newest(catalogue: readonly MetricInfo[], name: string): MetricInfo | null {
  const known = catalogue.filter((info) => metric_name(info.metric) === name);
  return known.reduce<MetricInfo | null>((best, info) => (best === null || version(info.metric) > version(best.metric) ? info : best), null);
}

/** A value with the decimals that the metric supports; missing is "–". */
export function value_text(value: number | null | undefined, info: MetricInfo): string {
  if (value === null || value === undefined) return MISSING;
  return info.decimals === 0 ? whole(value) : fixed(value, info.decimals);
}

/** A ratio has no unit to write. */
export function unit_text(info: MetricInfo): string {
  return info.unit === "1" ? "" : info.unit;
}

/** "z3" -> "Z3", "5s" -> "5 s", "high_speed" -> "High speed" */
export function label_text(label: string): string {
  const spaced = label.replaceAll("_", " ").replace(/^(\d+)([a-z]+)$/, "$1 $2");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** The sum of the named values, or the first value where none is named; null if any of them is. */
export function headline(info: MetricInfo, now: MetricNow | undefined, labels: readonly string[]): number | null {
  if (now === undefined) return null;
  const wanted = labels.length === 0 ? now.values.slice(0, 1) : labels.map((label) => now.values[info.labels.indexOf(label)]);
  return wanted.reduce<number | null>((sum, value) => (sum === null || value == null ? null : sum + value), 0);
}

const GROUPS: readonly (readonly [string, RegExp])[] = [
  ["Recovery", /^(hr_recovery|rmssd|ln_rmssd|sdnn|pnn50)/],
  ["Heart", /^(hr_|trimp|decoupling)/],
  ["Power", /^(power|work|normalised|intensity|training_stress|best_power|w_|critical_power)/],
  ["Load", /^(acwr|training_load|fitness|monotony|strain|days|session_rpe)/],
  ["Movement", /^(distance|speed|max_speed|best_speed|critical_speed|d_prime|efforts|metabolic|accel|asymmetry|cadence|steps)/],
];
/** The order on the screen: what a coach looks for first stands first. */
const ORDER = ["Heart", "Movement", "Power", "Recovery", "Load", "More"];

export interface Group {
  title: string;
  rows: { info: MetricInfo; now: MetricNow }[];
}

/** An athlete's metrics under headings; one that the catalogue does not describe cannot be written and is left out. */
export function grouped(catalogue: readonly MetricInfo[], metrics: readonly MetricNow[]): Group[] {
  const known = new Map(catalogue.map((info) => [info.metric, info]));
  const groups = new Map<string, Group>(ORDER.map((title) => [title, { title, rows: [] }]));
  for (const now of metrics) {
    const info = known.get(now.metric);
    if (info === undefined) continue;
    const title = GROUPS.find(([, pattern]) => pattern.test(metric_name(now.metric)))?.[0] ?? "More";
    groups.get(title)?.rows.push({ info, now });
  }
  return [...groups.values()].filter((group) => group.rows.length > 0);
}
