/**
 * The wire contract of `/ws/live`, field for field as `edge/messages.py` has it; a test keeps the two in step.
 *
 * Times are nanoseconds UTC on the gateway's clock. JSON numbers are doubles here, so a present-day time is rounded
 * to a multiple of 256 ns: far below anything a screen shows, and never used as an identity.
 */

export interface Athlete {
  athlete: string;
  number: number;
  name: string;
  team: number;
  hr_rest_bpm: number;
  hr_max_bpm: number;
}

export interface Session {
  name: string;
  started_ns: number;
  planned_s: number;
  planned_distance_m: number;
}

export interface Pitch {
  length_m: number;
  width_m: number;
}

export type Cause = "hr" | "speed" | "effort";

export interface Tile {
  athlete: string;
  hr_bpm: number | null;
  hr_ns: number | null;
  hr_seq: number | null;
  contact: boolean | null;
  zone: number | null;
  speed_mps: number | null;
  position_ns: number | null;
  position_seq: number | null;
  distance_m: number | null;
  high_speed_m: number | null;
  sprint_m: number | null;
  trimp: number | null;
  zone_s: number[] | null;
  plan_percent: number | null;
  coverage: number | null;
  effort_bpm: number | null;
  effort_residual: number | null;
  unusual: boolean;
  attention: string | null;
  attention_cause: Cause | null;
  trace_bpm: (number | null)[] | null;
}

export interface Dot {
  athlete: string;
  x_m: number;
  y_m: number;
  time_ns: number;
  ahead: [x_m: number, y_m: number, sigma_x_m: number, sigma_y_m: number][];
}

export interface Alert {
  alert: string;
  athlete: string;
  rule: string;
  severity: "banner" | "badge" | "log";
  why: string;
  cause: Cause;
  started_ns: number;
  ended_ns: number | null;
  seen: boolean;
}

export interface SensorHealth {
  sensor: string;
  kind: string;
  athlete: string | null;
  connected: boolean;
  last_ns: number | null;
  frames: number;
  malformed: number;
  implausible: number;
  duplicates: number;
  reconnects: number;
  battery_percent: number | null;
  rssi_dbm: number | null;
  adapter: string | null;
  mode: "connected" | "advertising" | "broker" | null;
  silent: boolean;
  loss_percent: number | null;
  clock_offset_ms: number | null;
  clock_drift_ppm: number | null;
  clock_resets: number;
  about: Record<string, string>;
}

export interface AdapterHealth {
  adapter: string;
  up: boolean;
  slots: number;
  used: number;
  heard: number;
  problem: string | null;
}

export interface NearSensor {
  sensor: string;
  name: string | null;
  rssi_dbm: number;
  athlete: string | null;
  last_ns: number;
}

export interface QuarantineEntry {
  sensor: string;
  reason: string;
  count: number;
  last_ns: number;
}

export interface GapEntry {
  stream: string;
  reason: string;
  count: number;
  last_ns: number;
}

export interface LinkHealth {
  link: string;
  up: boolean;
  since_ns: number;
  problem: string | null;
}

export interface ModelHealth {
  name: string;
  version: string | null;
  state: "empty" | "staged" | "checked" | "shadow" | "active" | "reverted" | "refused";
  active_since_ns: number | null;
  previous_version: string | null;
  candidate_version: string | null;
  reason: string | null;
  inferences: number;
  latency_ms_p99: number | null;
}

export interface StoreHealth {
  readings: number;
  database_bytes: number;
  backlog_batches: number;
  backlog_bytes: number;
  oldest_unsent_ns: number | null;
  uploaded_batches: number;
  commits: number;
  commit_ms_p99: number | null;
  quota_bytes: number;
  pressure: string;
  pressure_percent: number;
}

export interface SessionEntry {
  started_ns: number;
  ended_ns: number | null;
  readings: number;
  size_bytes: number;
  unsent_batches: number;
  complete: boolean;
  removed: boolean;
}

export interface Health {
  gateway: string;
  version: string;
  started_ns: number;
  cpu_s: number;
  rss_mb: number;
  sync_lag_s: number | null;
  links: LinkHealth[];
  sensors: SensorHealth[];
  models: ModelHealth[];
  store: StoreHealth;
  quarantine: QuarantineEntry[];
  gaps: GapEntry[];
  live_dropped: number;
  adapters: AdapterHealth[];
  near: NearSensor[];
  sessions: SessionEntry[];
}

export interface MetricInfo {
  metric: string;
  title: string;
  unit: string;
  decimals: number;
  labels: string[];
  formula: string;
  rules: string;
  source: string;
  team: boolean;
}

export interface MetricNow {
  metric: string;
  values: (number | null)[];
  coverage: number;
  quality: number;
  notes: string[];
}

export interface AthleteMetrics {
  athlete: string;
  sent_ns: number;
  metrics: MetricNow[];
}

export interface ExplanationPart {
  feature: string;
  words: string;
  value: number | null;
  unit: string;
  contribution: number;
}

export interface Explanation {
  athlete: string;
  model: string;
  version: string;
  sent_ns: number;
  time_ns: number;
  answer: number;
  unit: string;
  parts: ExplanationPart[];
}

export interface TeamNow {
  team: number;
  metrics: MetricNow[];
  hull: number[][];
}

export interface Assign {
  sensor: string;
  athlete: string | null;
}

export interface Snapshot {
  type: "snapshot";
  sent_ns: number;
  session: Session;
  pitch: Pitch;
  athletes: Athlete[];
  tiles: Tile[];
  alerts: Alert[];
  health: Health;
  metrics: MetricInfo[];
  ahead_step_s: number;
}

export interface TilePatch {
  type: "tiles";
  sent_ns: number;
  tiles: Tile[];
}

export interface MapPatch {
  type: "map";
  sent_ns: number;
  dots: Dot[];
}

export interface TeamPatch {
  type: "teams";
  sent_ns: number;
  teams: TeamNow[];
}

export interface AssignedPatch {
  type: "assigned";
  sent_ns: number;
  sensor: string;
  athlete: string | null;
}

export interface AlertPatch {
  type: "alert";
  sent_ns: number;
  alert: Alert;
}

export interface HealthPatch {
  type: "health";
  sent_ns: number;
  health: Health;
}

export interface Seen {
  type: "seen";
  alert: string;
}

export type Message = Snapshot | TilePatch | MapPatch | TeamPatch | AssignedPatch | AlertPatch | HealthPatch;

/** Milliseconds since 1970 of a wire time; fractions are kept. */
export function ms(time_ns: number): number {
  return time_ns / 1e6;
}

/** The athlete id that the wire gives to the ball. */
export const BALL = "ball";
