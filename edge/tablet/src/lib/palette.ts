/**
 * Colour means heart-rate zone and nothing else. The values live in tokens.css; drawings on a canvas read them here.
 */
export const ZONES = [1, 2, 3, 4, 5] as const;

/** Lower bound of each zone as a share of the athlete's maximum heart rate, zone 1 first. */
export const ZONE_FROM = [0.5, 0.6, 0.7, 0.8, 0.9] as const;

/** One token of the current theme, `--ink` for example, resolved to a colour that a canvas takes. */
export function token(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
