"""`/metrics` and the sessions of the Health page, as a gateway tells them that really runs."""

import asyncio
import json
from pathlib import Path

import aiomqtt
import httpx
import pytest
from fastapi import Response
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import positions
from tests.fakes.broker import Broker
from tests.integration.gateway_process import Program, gateway_health, until_link, write_settings, write_squad
from tests.integration.test_uploader import Answers, uploading
from tests.tools import until

GOOD = {"boot": "0badcafe", "t_ns": 0, "x_mm": 1000, "y_mm": 2000, "quality": 90}
READINGS = 40


async def told(url: str) -> dict[str, float]:
    """Return every sample as Prometheus would store it, by name and labels."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    return {
        sample.name + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_when_readings_come_then_queues_commits_and_acknowledgements_are_counted(
    tmp_path: Path, own_broker: Broker
) -> None:
    """Rule: what the gateway does stands in its metrics: every commit is timed, and nothing stays unacknowledged."""
    own_broker.start()
    write_squad(tmp_path, ["tag-1"])
    settings = write_settings(tmp_path, broker_port=own_broker.port)
    async with Program(tmp_path, "gateway", "edge", "run", "--settings", str(settings)) as gateway:
        url = (await gateway.start())["url"]
        await until_link(url, "broker", up=True)
        async with aiomqtt.Client("127.0.0.1", own_broker.port) as client:
            for number in range(READINGS):
                await client.publish("sideline/tags/tag-1/position", json.dumps({**GOOD, "n": number}), qos=1)
            await client.publish("sideline/tags/tag-1/position", "{", qos=1)
        async with asyncio.timeout(20):
            while (now := await told(url))["sideline_stored_readings_total"] < READINGS:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while (now := await told(url))["sideline_withheld_frames"]:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while not (sessions := (await gateway_health(url))["sessions"]):
                await asyncio.sleep(0.05)
        assert await gateway.stop() == 0
    assert now["sideline_commit_seconds_count"] == now["sideline_commits_total"] > 0
    assert now["sideline_commit_seconds_sum"] > 0
    assert now["sideline_queue_capacity_items queue=durable"] == 256
    assert now["sideline_queue_dropped_items_total queue=live"] == 0
    assert sum(value for name, value in now.items() if name.startswith("sideline_quarantined_frames_total")) == 1
    assert now["sideline_link_up link=broker"] == 1
    assert 0 < now["sideline_store_fill_ratio"] <= 1
    assert now["process_open_fds"] > 0
    (session,) = sessions
    assert session["ended_ns"] is None
    assert (session["complete"], session["removed"]) == (False, False)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [(Response(status_code=503), "busy"), (Response("teapot", status_code=422), "refused")],
)
async def test_upload_when_it_ends_then_it_is_counted_by_its_answer(
    tmp_path: Path, wrong: Response, answer: str
) -> None:
    """Rule: failures are counted by kind, and what is sent again is counted again."""
    answers = Answers(wrong=wrong)
    async with uploading(tmp_path, answers) as (uploader, journal):
        await journal.append([positions([(1, 2)] * 100)])
        await until(lambda: uploader.counts.answers[answer] > 0)  # type: ignore[index]
        answers.wrong = None
        await until(lambda: uploader.counts.answers["stored"] == 1)
        counts = uploader.counts
    sent = len(answers.received[0])
    assert counts.sent_bytes == sent * sum(counts.answers.values())
    assert sum(counts.took.counts) == sum(counts.answers.values()) - counts.answers["no answer"]
