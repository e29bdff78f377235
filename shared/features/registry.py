"""All feature sets by id. A new set is one file and one line here; a change of meaning is a new version."""

from shared.errors import ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.base import FeatureSet
from shared.features.team import TEAM_GRAPH

FEATURE_SETS: dict[str, FeatureSet] = {s.set_id: s for s in (ATHLETE_EFFORT, TEAM_GRAPH)}


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
