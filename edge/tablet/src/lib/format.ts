/** Numbers and times as people read them: thin groups, no decimals that the noise cannot support, missing is "–". */

export const MISSING = "–";
const THIN = "\u202f";

/** 1240 -> "1 240" with a narrow space that does not break. */
export function whole(value: number | null): string {
  if (value === null) return MISSING;
  const sign = value < -0.5 ? "−" : "";
  return sign + String(Math.abs(Math.round(value))).replace(/\B(?=(\d{3})+$)/g, THIN);
}

export function fixed(value: number | null, digits: number): string {
  return value === null ? MISSING : value.toFixed(digits).replace("-", "−");
}

/** 1:04:32 */
export function clock(total_s: number): string {
  const s = Math.max(0, Math.floor(total_s));
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** 7:50, for spans inside a session. */
export function minutes(total_s: number): string {
  const s = Math.max(0, Math.floor(total_s));
  return s >= 3600 ? clock(s) : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** "3 s", "12 min", "5 h", "6 d": an age rounded up, so that it never claims to be newer than it is. */
export function age(value_ms: number | null): string {
  if (value_ms === null) return MISSING;
  const s = Math.max(1, Math.ceil(value_ms / 1000));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** "0.3 s" below ten seconds, then as `age`. */
export function delay(value_ms: number): string {
  return value_ms < 9_950 ? `${(value_ms / 1000).toFixed(1)} s` : age(value_ms);
}

/** "6 d 3 h", "2 h 14 min", "38 s". */
export function span(total_s: number): string {
  const s = Math.max(0, Math.floor(total_s));
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  return m > 0 ? `${m} min` : `${s} s`;
}

/** "212 MB" */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** "1.84 M" above a million, otherwise grouped. */
export function count(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : whole(value);
}

/** Time of day on the tablet's wall clock, "14:51". */
export function time_of_day(time_ms: number): string {
  const date = new Date(time_ms);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

/** Day on the tablet's wall clock, "21 Nov". */
export function day(time_ms: number): string {
  const date = new Date(time_ms);
  return `${date.getDate()} ${MONTHS[date.getMonth()]}`;
}

/** "1 second", "4 seconds", "2 minutes": the same age, spoken. */
export function spoken_age(value_ms: number | null): string {
  if (value_ms === null) return "never";
  const s = Math.max(1, Math.ceil(value_ms / 1000));
  const [n, word] = s < 100 ? [s, "second"] : [Math.round(s / 60), "minute"];
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}
