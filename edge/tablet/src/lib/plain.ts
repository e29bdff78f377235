/** Numbers that are no metrics: readings as they came, and shares of a plan. They explain themselves here. Pure. */
import { age_ms, HR_LATE_MS, LOST_MS, POSITION_LATE_MS } from "./ages";
import { age, fixed, whole } from "./format";
import { ms, type Athlete, type SensorHealth, type Session, type Tile } from "./messages";
import { sensor_kind } from "./words";

export interface Explained {
  title: string;
  value: string;
  unit: string;
  formula: string;
  rules: string;
  /** Who measured it, and how old it is. */
  source: string;
}

const HEART_KIND = /heart|strap|polar|movesense|ppg/i;
const PLACE_KIND = /position|tag|gps|gnss|uwb|dwm|pozyx|owntracks|traccar|location/i;

/** The worn sensors that can give a quantity; all of them where no kind says so. */
function of_kind(worn: readonly SensorHealth[], kind: RegExp): readonly SensorHealth[] {
  const matching = worn.filter((sensor) => kind.test(`${sensor.kind} ${sensor.sensor}`));
  return matching.length > 0 ? matching : worn;
}

function measured(worn: readonly SensorHealth[], time_ns: number | null, now_ms: number): string {
  const by = worn.length === 0 ? "A sensor that the health page does not list" : worn.map((s) => `${sensor_kind(s.kind)} ${s.sensor}`).join(" or ");
  return time_ns === null ? `${by}. Nothing came yet.` : `${by}. Reading ${age(age_ms(ms(time_ns), now_ms))} old.`;
}

export interface Context {
  athlete: Athlete;
  tile: Tile;
  session: Session | null;
  worn: readonly SensorHealth[];
  now_ms: number;
}

const late = (late_ms: number): string => `Late after ${late_ms / 1000} s; after ${LOST_MS / 1000} s it is lost and shows –.`;

const PLAIN: Readonly<Record<string, (context: Context) => Explained>> = {
  heart_rate: ({ athlete, tile, worn, now_ms }) => ({
    title: "Heart rate",
    value: whole(tile.hr_bpm),
    unit: "beats/min",
    formula: "The newest reading, as the sensor gave it.",
    rules: `${late(HR_LATE_MS)} Zones 1 to 5 begin at 50, 60, 70, 80 and 90 % of this athlete’s maximum of ${whole(athlete.hr_max_bpm)}.`,
    source: measured(of_kind(worn, HEART_KIND), tile.hr_ns, now_ms),
  }),
  speed: ({ tile, worn, now_ms }) => ({
    title: "Speed",
    value: fixed(tile.speed_mps === null ? null : tile.speed_mps * 3.6, 1),
    unit: "km/h",
    formula: "The newest speed, from this athlete’s positions or as the sensor gave it.",
    rules: late(POSITION_LATE_MS),
    source: measured(of_kind(worn, PLACE_KIND), tile.position_ns, now_ms),
  }),
  plan: ({ tile, session }) => ({
    title: "Share of plan",
    value: whole(tile.plan_percent),
    unit: "%",
    formula: "Distance so far ÷ the distance planned for this session.",
    rules: "Not shown below 95 % recorded: a share from part of the session would be wrong.",
    source: session === null ? "No plan yet." : `The plan of ${session.name}: ${whole(session.planned_distance_m)} m.`,
  }),
  recorded: ({ tile, worn }) => ({
    title: "Recorded",
    value: whole(tile.coverage === null ? null : tile.coverage * 100),
    unit: "%",
    formula: "Time with readings ÷ time of the session so far.",
    rules: "Below 95 % the totals are lower bounds, marked ≥.",
    source: worn.length === 0 ? "No sensor is worn." : worn.map((sensor) => `${sensor_kind(sensor.kind)} ${sensor.sensor}`).join(", "),
  }),
};

/** What a plain quantity says of itself, or null for the name of a metric. */
export function explain(name: string, context: Context): Explained | null {
  return PLAIN[name]?.(context) ?? null;
}
