"""What made a model: our code's version and those of the libraries that matter to its numbers."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "onnxscript", "torch", "torch-geometric", "lightning",
)  # fmt: skip
_GIT_TIMEOUT_S = 5


def code_version() -> str:
    """Return the git commit this code runs from, or the package's version where there is none."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return _package("sideline") or "unknown"
    return found.stdout.strip() or _package("sideline") or "unknown"


def package_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that can change a model."""
    found = {name: _package(name) for name in _PACKAGES}
    return {name: text for name, text in found.items() if text is not None}


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
