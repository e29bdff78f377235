"""All history metrics. A new one is a class and one line here."""

from shared.metrics.history import HistoryMetric, WorkloadRatio, WorkloadRatioEwma
from shared.metrics.history_form import FitnessFatigue, TrainingLoad
from shared.metrics.history_week import DaysSince, Monotony, Strain

HISTORY_METRICS: tuple[HistoryMetric, ...] = (
    WorkloadRatio(coupled=True),
    WorkloadRatio(coupled=False),
    WorkloadRatioEwma(),
    Monotony(),
    Strain(),
    TrainingLoad(),
    TrainingLoad(linear=True),
    FitnessFatigue(),
    DaysSince(),
)
