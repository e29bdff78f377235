/**
 * The WebSocket to the gateway: one snapshot, then patches; comes back by itself after every loss.
 *
 * A socket that is open but silent is a lost link too (a tablet that left the Wi-Fi gets no close frame), so silence
 * beyond `DEAD_MS` closes it.
 */
import { local_ms } from "./clock";
import type { Message, Seen } from "./messages";

/** The gateway sends health once a second; five missed are no accident. */
const DEAD_MS = 5_000;
const FIRST_DELAY_MS = 250;
/** Nobody waits at the touchline for a longer pause than this. */
const MAX_DELAY_MS = 3_000;

export interface LinkEvents {
  message(message: Message, arrival_ms: number): void;
  down(): void;
}

/** Full jitter, so that twenty tablets do not return in one burst when the gateway restarts. */
export function next_delay_ms(tries: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(tries, 10));
  return 100 + random() * (ceiling - 100);
}

export function live_url(page: Location): string {
  const url = new URL("/ws/live", page.href);
  url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}

export class Link {
  #socket: WebSocket | null = null;
  #tries = 0;
  #heard_ms = 0;
  #watch: ReturnType<typeof setInterval> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #url: string;
  readonly #events: LinkEvents;

  constructor(url: string, events: LinkEvents) {
    this.#url = url;
    this.#events = events;
  }

  start(): void {
    this.#open();
    this.#watch = setInterval(() => {
      if (this.#socket !== null && local_ms() - this.#heard_ms > DEAD_MS) this.#lose(this.#socket);
    }, 1_000);
  }

  stop(): void {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** True if the message left; false while there is no link, and then the caller sends it again after the next snapshot. */
  send(message: Seen): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #open(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard_ms = local_ms();
    socket.onmessage = (event: MessageEvent<string>) => {
      if (this.#socket !== socket) return;
      this.#heard_ms = local_ms();
      this.#receive(event.data, socket);
    };
    socket.onclose = () => this.#lose(socket);
  }

  #receive(text: string, socket: WebSocket): void {
    try {
      this.#events.message(JSON.parse(text) as Message, this.#heard_ms);
      this.#tries = 0;
    } catch (error) {
      // One bad message leaves the state in doubt; a new snapshot on a new connection settles it.
      console.error("message from the gateway not understood, connecting again", error);
      this.#lose(socket);
    }
  }

  #lose(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    socket.close();
    this.#events.down();
    this.#retry = setTimeout(() => this.#open(), next_delay_ms(this.#tries));
    this.#tries += 1;
  }
}
