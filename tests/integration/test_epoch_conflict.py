"""A gateway's database that exists twice: a restored backup, a copied card. Nothing is lost and nothing overwritten."""

import shutil
from pathlib import Path

from shared.ids import SensorId
from shared.readings import Readings
from tests.factories import positions
from tests.integration.cloud_server import Identity, gateway, running_cloud


def walk(first: int, count: int = 20, *, sensor: str = "tag-01") -> Readings:
    return positions([[float(n), 1.0] for n in range(count)], first=first, sensor=SensorId(sensor))


def identities(*blocks: Readings) -> set[Identity]:
    return {(b.sensor, b.stream, b.origin, n) for b in blocks for n in b.sequence.tolist()}


async def test_restored_backup_when_the_cloud_knows_more_then_it_goes_on_under_a_new_epoch(tmp_path: Path) -> None:
    """Rule: a backup that is older than what was uploaded takes a new epoch before it sends anything."""
    early, late, again = walk(0), walk(100), walk(200)
    async with running_cloud(tmp_path) as cloud:
        async with gateway(tmp_path / "a", cloud.url, cloud.token) as first:
            await first.journal.append([early])
            await first.all_sent()
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        async with gateway(tmp_path / "a", cloud.url, cloud.token) as first:
            await first.journal.append([late])
            await first.all_sent()
            epoch = first.journal.epoch
        before = cloud.state(epoch)
        async with gateway(tmp_path / "backup", cloud.url, cloud.token) as restored:
            await restored.journal.append([again])
            await restored.all_sent()
            assert restored.journal.epoch != epoch
            assert restored.uploader.renewals == 1
            assert "another copy" in str(restored.uploader.status.problem)
            assert restored.uploader.status.up
            await restored.compare()
            assert await restored.is_agreed()
        assert cloud.state(epoch) == before
        assert set(cloud.identities()) == identities(early, late, again)


async def test_copied_card_when_a_number_is_taken_then_the_rest_is_sent_under_a_new_epoch(tmp_path: Path) -> None:
    """Rule: a 409 overwrites nothing in the cloud and loses nothing here."""
    shared, own, others = walk(0), walk(100), [walk(n, sensor="tag-02") for n in (0, 50, 90)]
    async with running_cloud(tmp_path) as cloud:
        async with gateway(tmp_path / "a", cloud.url, cloud.token) as first:
            await first.journal.append([shared])
            await first.all_sent()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with gateway(tmp_path / "b", cloud.url, cloud.token, sends=False) as second:
            for block in others:
                await second.journal.append([block])
                await second.journal.run(second.journal.outbox.fill)
        async with gateway(tmp_path / "a", cloud.url, cloud.token) as first:
            await first.journal.append([own])
            await first.all_sent()
            epoch = first.journal.epoch
        kept = {path: path.read_bytes() for path in (cloud.layout.objects / "bronze").rglob("*.parquet")}
        async with gateway(tmp_path / "b", cloud.url, cloud.token) as second:
            await second.all_sent()
            assert (second.uploader.renewals, second.journal.epoch == epoch) == (1, False)
            await second.compare()
            assert await second.is_agreed()
        assert {path: path.read_bytes() for path in kept} == kept
        assert set(cloud.identities()) == identities(shared, own, *others)


async def test_copied_card_when_both_run_at_once_then_all_readings_of_both_are_in_the_cloud(tmp_path: Path) -> None:
    """Rule: two gateways with one database each end with everything uploaded, compared and complete."""
    start = walk(0)
    mine = [walk(100 * n) for n in range(1, 8)]
    theirs = [walk(100 * n, sensor="tag-02") for n in range(1, 8)]
    async with running_cloud(tmp_path) as cloud:
        async with gateway(tmp_path / "a", cloud.url, cloud.token) as first:
            await first.journal.append([start])
            await first.all_sent()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with (
            gateway(tmp_path / "a", cloud.url, cloud.token) as first,
            gateway(tmp_path / "b", cloud.url, cloud.token) as second,
        ):
            for one, other in zip(mine, theirs, strict=True):
                await first.journal.append([one])
                await second.journal.append([other])
                await first.journal.run(first.journal.outbox.fill)
                await second.journal.run(second.journal.outbox.fill)
            await first.all_sent()
            await second.all_sent()
            assert first.uploader.renewals + second.uploader.renewals >= 1
            assert first.journal.epoch != second.journal.epoch
            for one in (first, second):
                await one.compare()
                assert await one.is_agreed()
                assert one.reconciler.counts.resent == 0
                assert not [gap for gap in await one.journal.gaps() if "not taken" in gap[1]]
        assert set(cloud.identities()) == identities(start, *mine, *theirs)
