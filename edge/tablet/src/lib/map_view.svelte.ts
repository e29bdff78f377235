/** What the field map shows: whose dots, and which of trail, path ahead and team shape. */

export type Teams = "both" | "dark" | "light";

class MapView {
  teams = $state<Teams>("both");
  trails = $state(true);
  ahead = $state(true);
  shape = $state(false);

  shows(team: number): boolean {
    return this.teams === "both" || (this.teams === "dark") === (team === 0);
  }
}

export const map_view = new MapView();
