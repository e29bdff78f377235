/**
 * Everything the gateway told this tablet, and the half-second tick at which the screens take it over.
 *
 * Patches land in plain maps; the tick publishes them, so that tiles repaint at most every 500 ms however fast the
 * patches come. Alerts are published at once: they are rare, and a coach waits for them.
 */
import { LINK_SILENT_MS } from "./ages";
import { GatewayClock, local_ms } from "./clock";
import { History } from "./history";
import { Link, live_url } from "./link";
import {
  ms, type Alert, type AssignedPatch, type Athlete, type Health, type Message, type MetricInfo, type Pitch, type SensorHealth, type Session,
  type TeamNow, type Tile,
} from "./messages";
import { Tracks } from "./tracks";

const TICK_MS = 500;

class Live {
  session = $state.raw<Session | null>(null);
  pitch = $state.raw<Pitch | null>(null);
  athletes = $state.raw<readonly Athlete[]>([]);
  tiles = $state.raw<ReadonlyMap<string, Tile>>(new Map());
  alerts = $state.raw<readonly Alert[]>([]);
  health = $state.raw<Health | null>(null);
  /** What every metric is, of athletes and of teams. */
  catalogue = $state.raw<readonly MetricInfo[]>([]);
  teams = $state.raw<readonly TeamNow[]>([]);
  /** When the teams' metrics were sent; null before the first. */
  teams_ms = $state<number | null>(null);
  ahead_step_s = $state(0.1);
  /** The gateway's time at the last tick. */
  now_ms = $state(0);
  /** Time since the last word from the gateway; null before the first. */
  silent_ms = $state<number | null>(null);
  connected = $state(false);

  readonly clock = new GatewayClock();
  readonly tracks = new Tracks();
  readonly #histories = new Map<string, History>();
  readonly #pending = new Map<string, Tile>();
  readonly #seen_here = new Set<string>();
  #heard_ms: number | null = null;
  #link: Link | null = null;

  /** No word for too long, or no socket: what is on the screen is no longer live. */
  link_lost = $derived(!this.connected || (this.silent_ms ?? 0) > LINK_SILENT_MS);
  active_alerts = $derived(this.alerts.filter((alert) => alert.ended_ns === null && alert.severity !== "log"));
  /** The one alert that the header shows: the oldest that nobody has seen; a second one waits. */
  banner = $derived(this.active_alerts.find((alert) => alert.severity === "banner" && !alert.seen) ?? null);

  start(): () => void {
    this.#link = new Link(live_url(location), {
      message: (message, arrival_ms) => this.#receive(message, arrival_ms),
      down: () => (this.connected = false),
    });
    this.#link.start();
    const tick = setInterval(() => this.#tick(), TICK_MS);
    return () => {
      clearInterval(tick);
      this.#link?.stop();
    };
  }

  athlete(id: string): Athlete | undefined {
    return this.athletes.find((athlete) => athlete.athlete === id);
  }

  /** The sensors that an athlete wears now. */
  worn_by(id: string): SensorHealth[] {
    return this.health?.sensors.filter((sensor) => sensor.athlete === id) ?? [];
  }

  history(id: string): History {
    const known = this.#histories.get(id) ?? new History();
    this.#histories.set(id, known);
    return known;
  }

  /** Marks it here at once; without a link the gateway hears of it on the next connection. */
  see(alert: string): void {
    this.#seen_here.add(alert);
    this.alerts = this.alerts.map((known) => (known.alert === alert ? { ...known, seen: true } : known));
    this.#link?.send({ type: "seen", alert });
  }

  #receive(message: Message, arrival_ms: number): void {
    this.#heard_ms = arrival_ms;
    // A new connection may lead to a restarted gateway with another clock.
    if (message.type === "snapshot") this.clock.reset();
    this.clock.observe(ms(message.sent_ns), arrival_ms);
    switch (message.type) {
      case "snapshot":
        this.#start_over(message);
        break;
      case "tiles":
        message.tiles.forEach((tile) => this.#keep(tile));
        break;
      case "map":
        this.tracks.add(message.dots);
        break;
      case "teams":
        this.teams = message.teams;
        this.teams_ms = ms(message.sent_ns);
        break;
      case "assigned":
        this.#wear(message);
        break;
      case "alert":
        this.#put(message.alert);
        break;
      case "health":
        this.health = message.health;
        break;
      default:
        // A newer gateway may send what this page does not know yet; the rest still holds.
        message satisfies never;
    }
  }

  #start_over(snapshot: Extract<Message, { type: "snapshot" }>): void {
    this.connected = true;
    this.session = snapshot.session;
    this.pitch = snapshot.pitch;
    this.athletes = snapshot.athletes;
    this.health = snapshot.health;
    this.catalogue = snapshot.metrics;
    this.ahead_step_s = snapshot.ahead_step_s;
    this.#pending.clear();
    for (const tile of snapshot.tiles) {
      if (tile.trace_bpm !== null) this.history(tile.athlete).seed(tile.trace_bpm, ms(snapshot.sent_ns));
      this.#keep(tile);
    }
    this.alerts = [];
    snapshot.alerts.forEach((alert) => this.#put(alert));
    for (const alert of snapshot.alerts) {
      if (!alert.seen && this.#seen_here.has(alert.alert)) this.#link?.send({ type: "seen", alert: alert.alert });
    }
    this.#tick();
  }

  #keep(tile: Tile): void {
    this.#pending.set(tile.athlete, tile);
    this.history(tile.athlete).add(tile);
  }

  /** Shown at once; the next health says the same. */
  #wear({ sensor, athlete }: AssignedPatch): void {
    if (this.health === null) return;
    const change = <T extends { sensor: string; athlete: string | null }>(known: T): T => (known.sensor === sensor ? { ...known, athlete } : known);
    this.health = { ...this.health, sensors: this.health.sensors.map(change), near: this.health.near.map(change) };
  }

  #put(alert: Alert): void {
    const merged = this.#seen_here.has(alert.alert) ? { ...alert, seen: true } : alert;
    const others = this.alerts.filter((known) => known.alert !== alert.alert);
    this.alerts = [...others, merged].sort((a, b) => a.started_ns - b.started_ns);
  }

  #tick(): void {
    this.tiles = new Map(this.#pending);
    this.now_ms = this.clock.now();
    this.silent_ms = this.#heard_ms === null ? null : local_ms() - this.#heard_ms;
  }
}

export const live = new Live();
