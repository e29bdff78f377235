"""All feature sets by id. A new set is one file and one line here; a change of meaning is a new version."""

from shared.errors import ModelIncompatible
from shared.features.activity import ACTIVITY_EFFORT
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH
from shared.features.games import GAME_OUTCOME
from shared.features.plays import PLAY_SUCCESS_ROWS
from shared.features.team import TEAM_GRAPH
from shared.features.wellness import REPORT_HISTORY, WELLNESS

LIVE_SETS = (ATHLETE_EFFORT, TEAM_GRAPH)
"""Those that a gateway computes from readings."""
TABLE_SETS = (ACTIVITY_EFFORT, GAME_OUTCOME, PLAY_SUCCESS_ROWS, WELLNESS, REPORT_HISTORY)
"""Those that the cloud computes from files."""
SCENE_SETS = (FIELD_GRAPH,)
"""Those that the cloud cuts out of recorded games."""
FEATURE_SETS: dict[str, FeatureSet] = {s.set_id: s for s in (*LIVE_SETS, *TABLE_SETS, *SCENE_SETS)}


def feature_set(set_id: str, schema_hash: str) -> FeatureSet:
    """Return the set that a model card names.

    Raises: ModelIncompatible when it is unknown here or means something else here.
    """
    known = FEATURE_SETS.get(set_id)
    if known is None:
        raise ModelIncompatible(f"feature set {set_id} is not known here")
    if known.schema_hash != schema_hash:
        raise ModelIncompatible(
            f"feature set {set_id} has schema {known.schema_hash[:12]} here, not {schema_hash[:12]}"
        )
    return known
