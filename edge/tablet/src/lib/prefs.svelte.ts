/** What this tablet remembers by itself: theme, metric on the tiles, order. Nothing of it goes to the gateway. */

export type Theme = "sun" | "dusk";
export type Metric = "intensity" | "volume" | "high_speed" | "target";
export type Order = "jersey" | "attention";

const THEMES: readonly Theme[] = ["sun", "dusk"];
const METRICS: readonly Metric[] = ["intensity", "volume", "high_speed", "target"];
const ORDERS: readonly Order[] = ["jersey", "attention"];

function kept<T extends string>(key: string, allowed: readonly T[], otherwise: T): T {
  const found = allowed.find((value) => value === localStorage.getItem(`sideline.${key}`));
  return found ?? otherwise;
}

/** `?theme=dusk` wins over what was kept, so that a page can be opened in a given theme. */
function first_theme(): Theme {
  const asked = new URLSearchParams(location.search).get("theme");
  return THEMES.find((theme) => theme === asked) ?? kept("theme", THEMES, "sun");
}

class Prefs {
  theme = $state<Theme>(first_theme());
  metric = $state<Metric>(kept("metric", METRICS, "intensity"));
  order = $state<Order>(kept("order", ORDERS, "jersey"));

  set_theme(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem("sideline.theme", theme);
    apply_theme();
  }

  set_metric(metric: Metric): void {
    this.metric = metric;
    localStorage.setItem("sideline.metric", metric);
  }

  set_order(order: Order): void {
    this.order = order;
    localStorage.setItem("sideline.order", order);
  }
}

export const prefs = new Prefs();

export function apply_theme(): void {
  document.documentElement.dataset["theme"] = prefs.theme;
}
