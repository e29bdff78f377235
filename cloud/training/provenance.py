"""What made a model: our code's version and those of the libraries that matter to its numbers."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "onnxscript", "torch", "torch-geometric", "lightning",
)  # fmt: skip
_GIT_TIMEOUT_S = 5
_CODE = Path(__file__).parents[2]


def code_version() -> str:
    """Return the git commit of this code, `+changed` when files differ from it; without git the package's version."""
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return _package("sideline") or "unknown"
    return f"{commit}+changed" if _git("status", "--porcelain", "--", str(_CODE)) else commit


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that can change a model."""
    found = {name: _package(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text is not None}


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """Return what git says about our code's folder, None when it has nothing to say."""
    command = ["git", "-C", str(_CODE), *words]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
