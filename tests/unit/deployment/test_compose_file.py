"""docker-compose.yml: valid, hardened, and every word in it means something to the program that it is said to."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import edge.__main__
import firmware_sim.__main__
from cloud.__main__ import build
from cloud.settings import load_settings
from edge.settings import load
from tests.tools import ROOT

SETTINGS = ROOT / "deployment" / "settings"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"cloud-setup", "roster"}
# They answer no requests and nothing waits for them; the restart policy sees to a process that ends.
WITHOUT_HEALTHCHECK = {"trainer", "signer"}
every_service = pytest.mark.parametrize("name", SERVICES)


def _sources(service: dict[str, Any]) -> dict[str, str]:
    """Return what a service mounts: source to target with mode."""
    return dict(entry.split(":", 1) for entry in service.get("volumes", []))


def _networks(service: dict[str, Any]) -> set[str]:
    return set(service.get("networks", []))


def _parse(app: typer.Typer, words: list[str]) -> dict[str, Any]:
    """Parse a command line as the program would, without running it; an unknown word raises."""
    group = typer.main.get_command(app)
    context = group.make_context("program", [], resilient_parsing=True)
    command = group.get_command(context, words[0])  # type: ignore[attr-defined]
    assert command is not None, f"there is no command {words[0]}"
    return dict(command.make_context(words[0], words[1:], parent=context).params)


def test_compose_file_when_checked_then_it_fits_the_specification() -> None:
    """The file is what the compose specification allows."""
    tool = Path(sys.executable).parent / "check-jsonschema"
    words = [str(tool), "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    checked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@every_service
def test_compose_service_when_started_then_it_holds_no_privilege(name: str) -> None:
    """No service runs as root, has or gains a capability, writes its root file system or uses the host's network."""
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service.get("network_mode") in (None, "none", "service:gateway")
    for word in ("privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "environment", "env_file"):
        assert word not in service
    assert not any("docker.sock" in source for source in _sources(service))


@every_service
def test_compose_service_when_it_runs_wild_then_memory_processes_and_logs_are_bounded(name: str) -> None:
    """One service cannot take the machine from the others."""
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"]["max-size"]


@every_service
def test_compose_service_when_it_stays_then_its_health_is_checked_and_it_is_restarted(name: str) -> None:
    """What stays up is restarted and says whether it is well; what runs once does neither."""
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    if name in ONCE | WITHOUT_HEALTHCHECK:
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["healthcheck"]["start_period"]


@every_service
def test_compose_service_when_it_depends_then_it_waits_for_a_state_that_comes(name: str) -> None:
    """Waiting for health needs a health check, waiting for an end needs a service that ends."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert wait["condition"] == wanted
        assert other not in WITHOUT_HEALTHCHECK


@every_service
def test_compose_image_when_named_then_its_version_is_too(name: str) -> None:
    """No image floats: a tag other than latest, and for ours the project's version."""
    image = SERVICES[name]["image"]
    repository, _, tag = image.partition(":")
    assert tag
    assert "latest" not in tag
    if repository.startswith("sideline/"):
        assert SERVICES[name]["pull_policy"] == "build"
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        assert tag == f"${{SIDELINE_VERSION:-{version}}}"
        recipe = ROOT / SERVICES[name]["build"]["dockerfile"]
        assert f"AS {SERVICES[name]['build']['target']}\n" in recipe.read_text(encoding="utf-8")


@every_service
def test_compose_port_when_published_then_only_on_loopback(name: str) -> None:
    """Nothing is reachable from another machine unless its operator says so."""
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")
        assert _networks(SERVICES[name]) & {"tablet", "tracking", "serving"}


def test_compose_networks_when_drawn_then_mlflow_and_predictions_meet_nobody() -> None:
    """Gateways reach neither: their networks hold them alone; gateway and cloud meet where nothing leads outside."""
    for name, network in (("mlflow", "tracking"), ("serve", "serving")):
        assert [n for n, s in SERVICES.items() if network in _networks(s)] == [name]
        assert _networks(SERVICES[name]) == {network}
    assert _networks(SERVICES["gateway"]) & _networks(SERVICES["cloud"]) == {"uplink"}
    assert _networks(SERVICES["gateway"]) & _networks(SERVICES["mosquitto"]) == {"sensors"}
    assert all(COMPOSE["networks"][name]["internal"] for name in ("sensors", "uplink"))


def test_compose_signing_keys_when_mounted_then_only_by_those_who_sign() -> None:
    """Neither what faces gateways nor what faces people can sign a release."""
    holders = {name for name, service in SERVICES.items() if "cloud-keys" in _sources(service)}
    assert holders == {"cloud-setup", "trainer", "signer"}
    assert _sources(SERVICES["mlflow"])["cloud-data"].endswith(":ro")
    assert SERVICES["mlflow"]["user"] != SERVICES["cloud"]["user"]


def test_compose_predictions_when_served_then_only_if_asked_for_and_with_a_token() -> None:
    """The default stack does not serve; who serves changes nothing, and only it and the setup know the token."""
    serve = SERVICES["serve"]
    assert serve["profiles"] == ["serving"]
    assert all("profiles" not in service for name, service in SERVICES.items() if name != "serve")
    assert all("serve" not in service.get("depends_on", {}) for service in SERVICES.values())
    assert all(target.endswith(":ro") for target in _sources(serve).values())
    assert {n for n, s in SERVICES.items() if "serving-token" in _sources(s)} == {"serve", "cloud-setup"}
    serving = load_settings(SETTINGS / "compose-cloud.toml", None)[0].serving
    assert serving.host == "0.0.0.0"  # noqa: S104  inside the container
    assert serve["ports"] == [f"127.0.0.1:{serving.port}:{serving.port}"]
    assert f"http://127.0.0.1:{serving.port}/healthz" in serve["healthcheck"]["test"][-1]
    folder, _, name = serving.token_file.rpartition("/")
    assert _sources(serve)["serving-token"] == f"{folder}:ro"
    assert f"serving=${{SERVING_DIR:-{folder}}}\n" in (ROOT / "deployment/docker/cloud-setup").read_text(
        encoding="utf-8"
    )
    assert name == "token"


def test_compose_mounts_when_read_then_every_source_exists() -> None:
    """A file that is mounted is in the repository; a volume that is mounted is declared; each is used."""
    used = {source for service in SERVICES.values() for source in _sources(service)}
    for source in used:
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
    assert set(COMPOSE["volumes"]) <= used


def test_compose_commands_when_parsed_then_the_programs_know_every_word() -> None:
    """What is said to gateway, cloud and simulator are commands and options that they have."""
    cloud = build()
    gateway = _parse(edge.__main__.app, SERVICES["gateway"]["command"])
    assert str(gateway["settings"]) in SERVICES["gateway"]["volumes"][0]
    for name in ("cloud", "trainer", "serve"):
        assert _parse(cloud, SERVICES[name]["command"])["settings"] == Path("/etc/sideline/cloud.toml")
    assert _parse(cloud, SERVICES["trainer"]["command"])["every"] == 600
    signing = SERVICES["signer"]["command"][0].partition("python -m cloud ")[2].partition(";")[0]
    assert _parse(cloud, signing.split())["settings"] == Path("/etc/sideline/cloud.toml")


def test_compose_roster_when_written_then_it_is_the_simulators() -> None:
    """The gateway knows the squad that is simulated: same size, same seed."""
    simulator = _parse(firmware_sim.__main__.app, SERVICES["simulator"]["command"])
    roster = _parse(firmware_sim.__main__.app, SERVICES["roster"]["command"])
    assert (roster["athletes"], roster["seed"]) == (simulator["athletes"], simulator["seed"])
    assert str(simulator["ready_file"]) in SERVICES["simulator"]["healthcheck"]["test"]


def test_compose_gateway_settings_when_loaded_then_they_name_what_compose_provides() -> None:
    """Every host, port and path in the gateway's settings is one of compose's services, ports and mounts."""
    settings = load(SETTINGS / "compose-gateway.toml")
    service = SERVICES["gateway"]
    mounted = {target.removesuffix(":ro") for target in _sources(service).values()}
    assert settings.mqtt is not None
    assert settings.ble is not None
    assert settings.gateway == SERVICES["cloud-setup"]["command"][1]
    assert settings.host == "0.0.0.0"  # noqa: S104  inside the container
    assert service["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert _networks(SERVICES[settings.mqtt.host]) & _networks(service)
    assert f"listener {settings.mqtt.port}" in (ROOT / "deployment/mosquitto/compose.conf").read_text(encoding="utf-8")
    simulator = _parse(firmware_sim.__main__.app, SERVICES["simulator"]["command"])
    assert simulator["mqtt"] == f"{settings.mqtt.host}:{settings.mqtt.port}"
    assert settings.ble.adapter == f"tcp-client:127.0.0.1:{simulator['hci_port']}"
    cloud, _ = load_settings(SETTINGS / "compose-cloud.toml", None)
    assert settings.sync.url == f"http://cloud:{cloud.port}"
    for path in (settings.roster_file, settings.sync.token_file, settings.release.root_file, settings.data_dir):
        assert any(str(path).startswith(folder) for folder in mounted)


def test_compose_cloud_settings_when_loaded_then_data_lies_in_the_volume() -> None:
    """All four of the cloud's services keep their data in the same volume."""
    settings, layout = load_settings(SETTINGS / "compose-cloud.toml", None)
    assert settings.host == "0.0.0.0"  # noqa: S104  inside the container
    sharing = [name for name, service in SERVICES.items() if _sources(service).get("cloud-data") == str(layout.root)]
    assert set(sharing) == {"cloud-setup", "cloud", "trainer", "signer"}
    assert _sources(SERVICES["signer"])["cloud-keys"] == str(layout.keys)
    assert f"sqlite:///{layout.mlflow_database}" in SERVICES["mlflow"]["command"]
