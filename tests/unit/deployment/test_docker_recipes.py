"""The images' recipes: linted, unprivileged, and the gateway's without what only training needs."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.factories import write_model
from tests.tools import ROOT

DOCKER = ROOT / "deployment" / "docker"
RECIPES = sorted(DOCKER.glob("*.Dockerfile"))
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)


def _last_stage(recipe: Path) -> str:
    """Return what becomes the image."""
    return recipe.read_text(encoding="utf-8").split("\nFROM ")[-1]


def _requirements(extra: str) -> list[str]:
    """Return what the recipe of an extra installs."""
    words = [sys.executable, str(DOCKER / "requirements.py"), extra]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_docker_recipes_when_linted_then_nothing_is_found() -> None:
    """The linter has nothing to say."""
    linter = Path(sys.executable).parent / "hadolint"
    linted = subprocess.run([str(linter), *map(str, RECIPES)], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@every_recipe
def test_docker_recipe_when_built_then_only_the_base_comes_from_a_registry(recipe: Path) -> None:
    """Every stage stands on BASE_IMAGE or on an earlier stage, so that one pinned base pins everything."""
    text = recipe.read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, flags=re.MULTILINE)
    known = {"${BASE_IMAGE}"}
    for base, name in stages:
        assert base in known
        known.add(name)
    assert len(stages) == text.count("\nFROM ")
    default = re.search(r"^ARG BASE_IMAGE=\S+:(\S+)$", text, flags=re.MULTILINE)
    assert default is not None
    assert default[1] != "latest"
    assert stages[-1][1] == recipe.stem


@every_recipe
def test_docker_image_when_run_then_it_is_unprivileged_and_says_how_it_is(recipe: Path) -> None:
    """The image has a numeric user, a health check, a stop signal and a version, and no tools or secrets inside."""
    stage = _last_stage(recipe)
    user = re.search(r"^USER (\d+):(\d+)$", stage, flags=re.MULTILINE)
    assert user is not None
    assert min(int(user[1]), int(user[2])) > 10_000
    assert "\nHEALTHCHECK " in stage
    assert "\nSTOPSIGNAL SIGTERM\n" in stage
    assert "org.opencontainers.image.version" in stage
    assert "/tools" not in stage
    assert not re.search(r"^(ARG|ENV|COPY) .*(token|password|secret)", stage, flags=re.IGNORECASE | re.MULTILINE)
    # By name: `COPY . .` would take whatever lies around.
    assert not re.search(r"^(COPY|ADD)( --\S+)* \./? ", recipe.read_text(encoding="utf-8"), flags=re.MULTILINE)


@every_recipe
def test_docker_recipe_when_it_installs_then_versions_are_the_constraints(recipe: Path) -> None:
    """Every installation from an index is constrained and takes ready-made packages only."""
    commands = recipe.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [part for part in re.split(r"\n|&&", commands) if re.search(r"\bpip\b.* install ", part)]
    assert installs
    for install in installs:
        assert "--no-deps wheels/" in install or {"--constraint", "--only-binary"} <= set(install.split())


def test_docker_edge_image_when_installed_then_neither_torch_nor_beam_is_asked_for() -> None:
    """The gateway's image is the edge extra alone, and the cloud's goes without torch."""
    names = {re.split(r"[<>=!;\[ ]", line)[0] for line in _requirements("edge")}
    heavy = {
        "torch",
        "torch-geometric",
        "lightning",
        "apache-beam",
        "mlflow",
        "mlflow-skinny",
        "scikit-learn",
        "pandas",
    }
    assert names >= {"bleak", "mqtt5", "onnxruntime", "numpy"}
    assert not names & heavy
    assert not any(line.startswith(("torch", "lightning")) for line in _requirements("cloud") + _requirements("sim"))
    edge = (DOCKER / "edge.Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"requirements\.py (\w+)", edge) == ["edge"]
    assert re.findall(r"^COPY (edge|cloud|shared|firmware_sim) ", edge, flags=re.MULTILINE) == ["shared", "edge"]


def test_docker_mlflow_image_when_installed_then_it_is_the_clients_version() -> None:
    """Server and client agree on the database's schema; before 3.17.2 the server has known holes."""
    constraints = (ROOT / "deployment" / "constraints.txt").read_text(encoding="utf-8")
    version = re.search(r"^mlflow-skinny==(\S+)$", constraints, flags=re.MULTILINE)
    assert version is not None
    assert f" mlflow=={version[1]}\n" in (DOCKER / "mlflow.Dockerfile").read_text(encoding="utf-8")
    assert tuple(map(int, version[1].split("."))) >= (3, 17, 2)


def test_docker_context_when_sent_then_it_is_a_list_of_what_is_allowed() -> None:
    """Nothing enters a build by accident: all is ignored but what the recipes copy."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for recipe in RECIPES:
        text = recipe.read_text(encoding="utf-8")
        for words in re.findall(r"^COPY (?!--)(.+)$", text, flags=re.MULTILINE):
            copied.update(words.split()[:-1])
    assert all(any(path == a or path.startswith(f"{a}/") for a in allowed) for path in copied)
    assert all(any(path == a or path.startswith(f"{a}/") for path in copied) for a in allowed)


def test_docker_health_check_when_asked_then_it_is_the_port_of_the_settings() -> None:
    """The images' health checks ask the port that their compose settings name."""
    for name, settings in (("edge", "compose-gateway.toml"), ("cloud", "compose-cloud.toml")):
        port = tomllib.loads((ROOT / "deployment" / "settings" / settings).read_text(encoding="utf-8"))["port"]
        stage = _last_stage(DOCKER / f"{name}.Dockerfile")
        assert f"http://127.0.0.1:{port}/healthz" in stage
        assert f"EXPOSE {port}\n" in stage


@pytest.mark.slow
def test_docker_cloud_setup_when_run_again_then_gateway_and_models_stay(tmp_path: Path) -> None:
    """A second start keeps both tokens, and does not release again what an operator may have rolled back."""
    settings = tmp_path / "cloud.toml"
    settings.touch()
    write_model(tmp_path / "models" / "effort")
    (tmp_path / "models" / "notes").mkdir()
    names = ("DATA_DIR", "ENROLMENT_DIR", "MODELS_DIR", "SERVING_DIR")
    places = {name: str(tmp_path / name.split("_")[0].lower()) for name in names}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run() -> str:
        words = ["sh", str(DOCKER / "cloud-setup"), str(settings), "gw-1"]
        done = subprocess.run(
            words, cwd=ROOT, env={**os.environ, **places, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "gateways are told to run effort" in run()
    kept = [tmp_path / name for name in ("enrolment/token", "enrolment/root.json", "serving/token")]
    made = [path.read_bytes() for path in kept]
    assert len(made[2].strip()) >= 32
    assert (kept[2].stat().st_mode & 0o077) == 0
    said = run()
    assert "kept: enrolment of gw-1" in said
    assert "kept: effort" in said
    assert [path.read_bytes() for path in kept] == made
    assert (tmp_path / "data" / "mlflow.sqlite").is_file()
    card = json.loads((tmp_path / "models" / "effort" / "card.json").read_text(encoding="utf-8"))
    assert (tmp_path / "data" / "releases" / "targets" / "models" / "effort" / card["version"]).is_dir()


@pytest.mark.parametrize("name", ["build", "try-images", "cloud-setup"])
def test_docker_script_when_read_then_it_is_executable_and_parses(name: str) -> None:
    """Every script can be started and is syntactically right."""
    script = DOCKER / name
    shell = "sh" if script.read_text(encoding="utf-8").startswith("#!/bin/sh\n") else "bash"
    assert os.access(script, os.X_OK)
    assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0
