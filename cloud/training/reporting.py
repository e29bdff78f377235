"""What a command says about a model that it has trained."""

from typing import Any

import msgspec
import typer

from cloud.training.artifacts import Trained


def report(trained: Trained, *, as_json: bool) -> None:
    """Print where the model lies and its metrics beside those of the baseline."""
    card = trained.card
    found: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "folder": str(trained.folder),
        "data_set": card.data_set,
        "data_digest": card.data_digest,
        "seconds": round(trained.seconds, 3),
        "metrics": card.metrics,
        "baseline": card.baseline,
        "parameters": trained.parameters,
    }
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(f"{card.name} {card.version} from {card.data_set} in {trained.seconds:.1f} s: {trained.folder}")
    for name, value in card.metrics.items():
        beside = f"   baseline {card.baseline[name]:.4g}" if name in card.baseline else ""
        typer.echo(f"  {name:28} {value:10.4g}{beside}")
