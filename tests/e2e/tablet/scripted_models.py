"""What a scripted gateway says that its models lean on."""

from edge.messages import Explanation, ExplanationPart
from shared.features.athlete import ATHLETE_EFFORT

CONTRIBUTIONS = {
    "speed_mean_60s": 23.155, "speed_mean_30s": 5.79, "power_mean_60s": 5.715, "power_mean_30s": 3.504,
    "hr_rest": -2.364, "speed_mean_5s": -1.485, "hr_max": 1.205, "speed_mean_15s": 0.826, "power_mean_15s": -0.556,
    "speed_mean_120s": -0.322, "distance": 0.277, "power_mean_120s": 0.1, "elapsed": -0.024,
}  # fmt: skip
"""As the shipped effort model explains one row of its card."""
VALUES = {"m/s": 3.412, "W/kg": 16.04, "km": 4.21, "min": 52.3, "bpm": 56.0}


def of_model(athlete: str, model: str, sent_ns: int) -> Explanation:
    """What the effort model leans on."""
    described = {
        name: (words, unit) for (name, unit), words in zip(ATHLETE_EFFORT.features, ATHLETE_EFFORT.words, strict=True)
    }
    parts = [
        ExplanationPart(
            feature=name,
            words=described[name][0],
            value=VALUES[described[name][1]],
            unit=described[name][1],
            contribution=contribution,
        )
        for name, contribution in CONTRIBUTIONS.items()
    ]
    return Explanation(
        athlete=athlete, model=model, version="1.0.1", sent_ns=sent_ns, time_ns=sent_ns, answer=179.166, unit="bpm",
        parts=parts,
    )  # fmt: skip
