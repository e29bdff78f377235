"""The house rules that a machine can check."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.tools import ROOT

PACKAGES = ("shared", "edge", "cloud", "firmware_sim")
FOLDERS = {*PACKAGES, "tests", "deployment"}
MAX_LINES = 350
MAX_TEST_LINES = 400
LONGER: frozenset[str] = frozenset()
"""Files that may be longer than that, with a reason at their top."""

# Which files may import a library; a folder stands for all files in it.
HOMES: dict[str, tuple[str, ...]] = {
    "bleak": (
        "edge/sources/ble_adapter.py",
        "edge/sources/ble_connection.py",
        "edge/sources/ble_bluez.py",
        "edge/sources/ble_bumble.py",
    ),
    "bumble": ("edge/sources/ble_bumble.py", "firmware_sim/devices/", "firmware_sim/transports/"),
    "aiomqtt": (),  # in tests only
    "mqtt5": ("edge/sources/mqtt_v5.py",),
    "torch": ("cloud/training/",),
    "lightning": ("cloud/training/",),
    "torch_geometric": ("cloud/training/",),
    "apache_beam": ("cloud/pipeline/",),
    "shap": ("cloud/training/tabular/explain.py",),
    "mlflow": ("cloud/training/tracking/mlflow_database.py",),
    "tensorboard": ("cloud/training/tracking/event_files.py",),
    "wandb": ("cloud/training/tracking/wandb_run.py",),
    "tuf": ("edge/release/updater.py", "cloud/registry/"),
    "fitdecode": (
        "edge/files/fit.py",
        "firmware_sim/recordings/heartbeats.py",
        "cloud/datasets/public/activities.py",
    ),
    "duckdb": ("cloud/notebooks/lake.py",),
    "gpxpy": ("edge/files/gpx.py",),
    "kloppy": ("edge/files/tracking.py", "cloud/datasets/public/matches.py"),
    "openlineage": ("cloud/datasets/lineage.py",),
    "pandera": ("cloud/datasets/validate/rules.py",),
    "openpyxl": ("edge/export/xlsx.py",),
    "tcxreader": ("edge/files/tcx.py",),
}
# The same inside the gateway only.
EDGE_HOMES: dict[str, tuple[str, ...]] = {
    "cbor2": ("edge/sensors/senml_pack.py",),
    "dbus_fast": ("edge/sources/ble_bluez.py",),
    "httpx": ("edge/sync/client.py",),
    "onnxruntime": ("edge/inference/session.py",),
    "sqlite3": ("edge/store/",),
    "fastapi": ("edge/ui/",),
    "uvicorn": ("edge/ui/server.py",),
}
# Never loaded beside the pitch.
HEAVY = ("torch", "apache_beam", "sklearn", "mlflow", "pandas", "lightning", "onnx")
# Loaded where a file is read or written, or an adapter without the system's Bluetooth is opened, and not before.
LAZY = ("bumble", "fitdecode", "gpxpy", "kloppy", "openpyxl", "tcxreader")
# Loaded beside the first readings: what listens to sensors and stores them is there in a second.
LATER = ("bleak", "fastapi", "httpx", "onnxruntime", "prometheus_client", "pyarrow", "tuf", "uvicorn")
# A gateway reports what it measured; it never claims to know about bodies.
FORBIDDEN_WORDS = re.compile(r"risk|injur|diagnos", re.IGNORECASE)


def sources(*packages: str) -> list[Path]:
    """Return the Python files of packages."""
    return sorted(
        path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if not {"node_modules", "__pycache__"} & set(path.parts)
    )


def name_of(path: Path) -> str:
    """Return a file's path inside the repository."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Return a parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level names that a file imports, wherever in the file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def strangers(homes: dict[str, tuple[str, ...]], *packages: str) -> list[str]:
    """Return the files that import a library outside its home."""
    return [
        f"{name_of(path)} imports {library}"
        for path in sources(*packages)
        for library in set(imports(path)) & set(homes)
        if not any(
            name_of(path) == home or (home.endswith("/") and name_of(path).startswith(home)) for home in homes[library]
        )
    ]


def test_package_when_it_has_an_init_then_it_is_empty() -> None:
    """Rule: `__init__.py` files are empty, and every package folder has one."""
    full = [name_of(path) for path in sources(*PACKAGES) if path.name == "__init__.py" and path.stat().st_size]
    bare = {name_of(path.parent) for path in sources(*PACKAGES) if not (path.parent / "__init__.py").exists()}
    assert (full, bare) == ([], set())


def test_file_when_written_then_it_is_not_too_long() -> None:
    """Rule: one concept a file, 350 lines at most, 400 in tests."""
    too_long = {
        name_of(path)
        for path in sources(*FOLDERS)
        if len(path.read_text(encoding="utf-8").splitlines())
        > (MAX_TEST_LINES if name_of(path).startswith("tests/") else MAX_LINES)
    }
    assert too_long == LONGER


def test_repository_when_listed_then_it_holds_the_listed_packages_only() -> None:
    """Rule: four packages; what ships is what the wheel names."""
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(PACKAGES)
    assert tuple(sorted(project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])) == tuple(sorted(PACKAGES))


def test_libraries_when_imported_then_only_in_their_home() -> None:
    """Rule: one home per library."""
    assert strangers(HOMES, *PACKAGES) == []
    assert strangers(EDGE_HOMES, "edge") == []


def test_packages_when_they_import_each_other_then_only_shared() -> None:
    """Rule: edge, cloud and firmware_sim each import shared, never each other; shared imports none of them."""
    parts = {"edge", "cloud", "firmware_sim"}
    wrong = [
        f"{name_of(path)} imports {other}"
        for package in PACKAGES
        for path in sources(package)
        for other in set(imports(path)) & (parts - {package})
    ]
    assert wrong == []


def test_shared_when_read_then_it_does_nothing_but_compute() -> None:
    """Rule: shared is pure but for its clock, log, settings and files handed to it: no sockets, database or threads."""
    allowed = {"shared/clock.py": {"asyncio", "time"}}
    impure = {"asyncio", "socket", "sqlite3", "threading", "time", "subprocess", "httpx", "os"}
    wrong = {
        name_of(path): found
        for path in sources("shared")
        if (found := (set(imports(path)) & impure) - allowed.get(name_of(path), set()))
    }
    assert wrong == {}


def _is_blind(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler swallows whatever comes; one that ends in `raise` translates or cleans up."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    takes_all = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )
    return takes_all and not isinstance(handler.body[-1], ast.Raise)


def _suppresses_everything(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool(re.search(r"suppress\((Base)?Exception\)", ast.unparse(node)))


def test_errors_when_caught_then_by_name() -> None:
    """Rule: the only blind except is that of edge/supervise.py."""
    blind = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources(*PACKAGES, "deployment")
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.ExceptHandler) and _is_blind(node))
        or (isinstance(node, ast.Call) and _suppresses_everything(node))
    ]
    assert [place.split(":")[0] for place in blind] == ["edge/supervise.py"]


def test_words_when_shown_then_they_claim_nothing_about_bodies() -> None:
    """Rule: no text of the gateway speaks of risks, injuries or diagnoses."""
    said = [
        f"{name_of(path)}:{node.lineno} {node.value[:60]!r}"
        for path in sources("edge")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FORBIDDEN_WORDS.search(node.value)
    ]
    assert said == []


def test_rules_when_broken_then_the_checks_above_notice() -> None:
    """Rule: a check that cannot fail is none."""
    bad = ast.parse("try:\n    pass\nexcept (ValueError, Exception):\n    pass\n").body[0]
    assert isinstance(bad, ast.Try)
    assert _is_blind(bad.handlers[0])
    assert _suppresses_everything(ast.parse("contextlib.suppress(Exception)", mode="eval").body)
    assert strangers({"bleak": ()}, "edge")
    assert FORBIDDEN_WORDS.search("Injury risk 12 %")


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "edge", "--help"],
        ["-m", "cloud", "--help"],
        ["-m", "firmware_sim", "--help"],
        ["deployment/demo.py", "--help"],
    ],
    ids=" ".join,
)
def test_command_when_asked_for_help_then_it_answers(words: list[str]) -> None:
    """Rule: every command explains itself."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def test_console_scripts_when_installed_then_they_are_the_modules() -> None:
    """Rule: a console script starts what `python -m` starts."""
    scripts = project()["project"]["scripts"]
    assert {target.split(":")[0] for target in scripts.values()} == {f"{p}.__main__" for p in PACKAGES if p != "shared"}
    for script in scripts:
        assert (Path(sys.executable).parent / script).exists(), f"{script} is not installed"


def test_gateway_when_imported_then_nothing_heavy_comes_with_it() -> None:
    """Rule: what a gateway does not need for its first stored reading is not loaded before it."""
    unwanted = HEAVY + LAZY + LATER
    code = f"import sys, edge.app, edge.__main__; print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_dependencies_when_the_gateway_is_installed_then_neither_torch_nor_beam_comes() -> None:
    """Rule: the edge extra never pulls training or the pipeline; the base needs two libraries."""
    given = project()["project"]
    names = {re.split(r"[<>=;\[ ]", line, maxsplit=1)[0] for line in given["optional-dependencies"]["edge"]}
    assert not names & {
        "torch",
        "apache-beam",
        "lightning",
        "torch-geometric",
        "mlflow-skinny",
        "scikit-learn",
        "pandas",
    }
    assert {re.split(r"[<>=]", line, maxsplit=1)[0] for line in given["dependencies"]} == {"msgspec", "numpy"}


@cache
def project() -> dict[str, dict]:  # type: ignore[type-arg]  # TOML
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
