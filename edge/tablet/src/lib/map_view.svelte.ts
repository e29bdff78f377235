/** What the field map shows: whose dots, and which of trail, path ahead and team shape. */

export type Teams = "both" | "circles" | "squares";

class MapView {
  teams = $state<Teams>("both");
  trails = $state(true);
  ahead = $state(true);
  shape = $state(false);

  shows(team: number): boolean {
    return this.teams === "both" || (this.teams === "circles") === (team === 0);
  }
}

export const map_view = new MapView();
