/** What this tablet has received of one athlete, for the 60 s trace on the tile and the drawer's ten minutes. */
import { ms, type Tile } from "./messages";

/** The drawer shows ten minutes; a little more keeps its left edge filled. */
const KEPT_MS = 11 * 60_000;
/** Longer than this without a reading is a gap in the line, not a slope. */
export const GAP_MS = 3_500;

/** A reading this much before the last one means that the gateway's clock was set back: what is kept is misplaced. */
const CLOCK_STEP_MS = 60_000;

export interface Point {
  time_ms: number;
  value: number;
}

export class Series {
  points: Point[] = [];

  /** Adds a reading; one that is not newer than the last is the same reading told again. */
  add(time_ms: number, value: number): void {
    const last = this.points.at(-1);
    if (last !== undefined && time_ms < last.time_ms - CLOCK_STEP_MS) this.points = [];
    else if (last !== undefined && time_ms <= last.time_ms) return;
    this.points.push({ time_ms, value });
    const oldest_ms = time_ms - KEPT_MS;
    // Trimmed in bulk: shifting one point off a long array at every reading costs more than it saves.
    if (this.points.length > 64 && (this.points[63]?.time_ms ?? oldest_ms) < oldest_ms) this.points.splice(0, 64);
  }

  /** Replaces everything from the first of `points` on: the gateway's minute is the truth about that minute. */
  merge(points: readonly Point[]): void {
    const first = points[0];
    if (first === undefined) return;
    this.points = [...this.points.filter((point) => point.time_ms < first.time_ms), ...points];
  }

  since(time_ms: number): Point[] {
    const from = this.points.findIndex((point) => point.time_ms >= time_ms);
    return from < 0 ? [] : this.points.slice(from);
  }
}

export class History {
  readonly hr_bpm = new Series();
  readonly speed_mps = new Series();

  add(tile: Tile): void {
    if (tile.hr_bpm !== null && tile.hr_ns !== null) this.hr_bpm.add(ms(tile.hr_ns), tile.hr_bpm);
    if (tile.speed_mps !== null && tile.position_ns !== null) this.speed_mps.add(ms(tile.position_ns), tile.speed_mps);
  }

  /** One value per second that ends at `sent_ms`, oldest first, null where none came. */
  seed(trace_bpm: readonly (number | null)[], sent_ms: number): void {
    const last = trace_bpm.length - 1;
    this.hr_bpm.merge(
      trace_bpm.flatMap((value, i) => (value === null ? [] : [{ time_ms: sent_ms - (last - i) * 1000, value }])),
    );
  }
}

/** Cuts a series where time is missing. */
export function pieces(points: readonly Point[]): Point[][] {
  const found: Point[][] = [];
  let previous_ms = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (point.time_ms - previous_ms > GAP_MS) found.push([]);
    found.at(-1)?.push(point);
    previous_ms = point.time_ms;
  }
  return found;
}
