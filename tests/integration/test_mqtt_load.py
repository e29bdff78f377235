"""The load generator against the gateway's own source and intake: what it says it sent is what arrives."""

import asyncio
from collections import Counter

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import MqttSettings
from edge.sources.mqtt import MqttSource
from firmware_sim.load import LoadSettings, run_load
from firmware_sim.load_messages import mix_roster
from firmware_sim.squad import squad_profiles
from shared.clock import SystemClock
from shared.readings import Quality
from tests.fakes.broker import Broker
from tests.tools import until

ATHLETES = 6


class Taken:
    """What a source brought through the intake, acknowledged at once."""

    def __init__(self) -> None:
        self.messages = self.doubtful = 0
        self.readings: Counter[str] = Counter()
        self.refused: list[str] = []

    async def run(self, source: MqttSource) -> None:
        """Take until cancelled."""
        intake = Intake(Wearers(mix_roster(squad_profiles(ATHLETES, 7))), "boot-7")
        while True:
            deliveries = await source.receive()
            blocks, rejected = intake.take([delivery.frame for delivery in deliveries])
            self.messages += len(deliveries)
            self.refused += [one.reason for one in rejected]
            for block in blocks:
                self.doubtful += int((block.quality & Quality.IMPLAUSIBLE).sum())
                self.readings[block.stream] += len(block)
            source.acknowledge(deliveries)


async def test_load_when_the_mix_is_read_by_the_gateway_then_every_reading_is_there_once(own_broker: Broker) -> None:
    """Rule: the report's account by kind is what a gateway stores: nothing lost, nothing twice, nothing refused."""
    own_broker.start()
    topics = ("position", "sideline_json", "sideline_binary")
    source = MqttSource(MqttSettings(port=own_broker.port, topics=topics), "gw-mix", SystemClock())
    taken = Taken()
    running = [asyncio.create_task(source.run()), asyncio.create_task(taken.run(source))]
    try:
        await until(lambda: source.status.up)
        settings = LoadSettings(
            rate_hz=0, seconds=2.0, tags=ATHLETES, broker_host="127.0.0.1", broker_port=own_broker.port, mix=True
        )
        report = await run_load(settings, SystemClock())
        await until(lambda: taken.messages >= report.sent)
        assert taken.readings == {kind: sent.readings for kind, sent in report.kinds.items()}
        assert (taken.messages, taken.readings["imu"]) == (report.sent, 100 * 2 * ATHLETES)
        assert (taken.refused, taken.doubtful) == ([], 0)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
