"""ThingsBoard gateway in a virtual environment of its own, with the settings that suit it best.

Against its defaults: SQLite storage in place of memory, batches of 1,000 written and read, packets of 64 KiB, no
statistics, no remote configuration, warnings only in its logs, MQTT 5, and a session that outlives a restart. Sensors
of ours send no field `ts`; `useReceivedTs` gives each message one time, so that its values stay together.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.bench.page import ROOT

VERSION = "3.8.5"
VENV = ROOT / "artifacts" / "thingsboard-venv"
_START = "from thingsboard_gateway.tb_gateway import main; main()"
_VALUES = {
    "boot": "string",
    "n": "integer",
    "t_ns": "integer",
    "x_mm": "integer",
    "y_mm": "integer",
    "quality": "integer",
}
_READ_ROWS = _WRITTEN_ROWS = 1000


def installed() -> Path | None:
    """Return the Python that has the rival, after installing it; None where pip cannot get it."""
    python = VENV / "bin" / "python"
    if _has_rival(python):
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", f"thingsboard-gateway=={VERSION}"]
        subprocess.run(pip, check=True)
    except (subprocess.CalledProcessError, OSError) as exc:
        print(f"ThingsBoard gateway {VERSION} cannot be installed ({exc}): measuring Sideline alone", flush=True)
        return None
    return python if _has_rival(python) else None


def _has_rival(python: Path) -> bool:
    if not python.exists():
        return False
    code = "from importlib.metadata import version; print(version('thingsboard-gateway'))"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() == VERSION


def settings(folder: Path, *, broker_port: int, upstream_port: int) -> Path:
    """Write the rival's settings and return their folder."""
    config = folder / "config"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    config.mkdir(exist_ok=True)
    (config / "tb_gateway.json").write_text(json.dumps(_gateway(folder / "data", upstream_port)))
    (config / "mqtt.json").write_text(json.dumps(_connector(broker_port)))
    shipped = next(VENV.glob("lib/python3*/site-packages/thingsboard_gateway/config/logs.json")).read_text()
    quiet = (
        shipped.replace('"./logs/', f'"{folder}/logs/').replace('"INFO"', '"WARNING"').replace('"DEBUG"', '"WARNING"')
    )
    (config / "logs.json").write_text(quiet)
    return config


def _gateway(data: Path, upstream_port: int) -> dict[str, Any]:
    limits = {
        "rateLimits": "DEFAULT_TELEMETRY_RATE_LIMIT",
        "dpRateLimits": "DEFAULT_TELEMETRY_DP_RATE_LIMIT",
        "messagesRateLimits": "DEFAULT_MESSAGES_RATE_LIMIT",
        "deviceMessagesRateLimits": "DEFAULT_MESSAGES_RATE_LIMIT",
        "deviceRateLimits": "DEFAULT_TELEMETRY_RATE_LIMIT",
        "deviceDpRateLimits": "DEFAULT_TELEMETRY_DP_RATE_LIMIT",
    }
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": upstream_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "latencyDebugMode": False,
            "statistics": {"enable": False, "statsSendPeriodInSeconds": 3600, "customStatsSendPeriodInSeconds": 3600},
            "deviceFiltering": {"enable": False, "filterFile": "list.json"},
            "maxPayloadSizeBytes": 65_536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": True,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **limits,
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": f"{data}/",
            "max_read_records_count": _READ_ROWS,
            "writing_batch_size": _WRITTEN_ROWS,
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
            "size_limit": 1024,
            "max_db_amount": 10,
            "oversize_check_period": 1,
        },
        "grpc": {"enabled": False},
        "connectors": [{"type": "mqtt", "name": "MQTT", "configuration": "mqtt.json"}],
    }


def _connector(broker_port: int) -> dict[str, Any]:
    return {
        "broker": {
            "host": "127.0.0.1",
            "port": broker_port,
            "clientId": "rival",
            "version": 5,
            "maxMessageNumberPerWorker": 10,
            "maxNumberOfWorkers": 100,
            "cleanSession": False,
            "cleanStart": False,
            "sessionExpiryInterval": 3600,
            "security": {"type": "anonymous"},
        },
        "mapping": [
            {
                "topicFilter": "sideline/tags/+/position",
                "subscriptionQos": 1,
                "converter": {
                    "type": "json",
                    "deviceInfo": {
                        "deviceNameExpressionSource": "topic",
                        "deviceNameExpression": "(?<=sideline/tags/)(.*?)(?=/position)",
                        "deviceProfileExpressionSource": "constant",
                        "deviceProfileExpression": "tag",
                    },
                    "sendDataOnlyOnChange": False,
                    "useReceivedTs": True,
                    "timeout": 60_000,
                    "attributes": [],
                    "timeseries": [{"type": kind, "key": key, "value": f"${{{key}}}"} for key, kind in _VALUES.items()],
                },
            }
        ],
        "requestsMapping": {
            "connectRequests": [],
            "disconnectRequests": [],
            "attributeRequests": [],
            "attributeUpdates": [],
            "serverSideRpc": [],
        },
    }


class ThingsBoard:
    """The rival as a process; what it stores stays between starts."""

    def __init__(self, python: Path, folder: Path, *, broker_port: int, upstream_port: int) -> None:
        self._python = python
        self._folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self._config = settings(folder, broker_port=broker_port, upstream_port=upstream_port)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start; it says nowhere when it is ready, so send until something arrives."""
        with (self._folder / "output.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(self._python), "-c", _START, cwd=self._folder, stdout=log, stderr=log,
                env={**os.environ, "TB_GW_CONFIG_DIR": str(self._config)},
            )  # fmt: skip

    @property
    def process(self) -> psutil.Process:
        """The running process."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    async def kill(self) -> None:
        """End it with kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, and end it when it does not within 20 s."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            await self.kill()
