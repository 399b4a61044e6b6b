"""The metrics of configuration, backup and sync move at a host and at a spare. tests/unit/test_metrics_list.py lists
all."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric

from hotspare.v1 import group_pb2
from hotspare_model.kinds import kind_of
from hotspare_receiver.metrics import metrics_of
from tests.integration.moving import moving, page_of
from tests.integration.sync_trial import Cut, TrialCloud, TrialReceiver
from tests.unit.test_receiver_metrics import view


def metrics_at(receiver: TrialReceiver) -> Iterable[Metric]:
    """What a receiver tells of its configuration; of all else, the same each time."""
    report = (receiver.pusher if receiver.role == 1 else receiver.syncer).report()
    return metrics_of(
        replace(
            view(),
            sync=report,
            pushes=receiver.pusher.pushes,
            push_failures=receiver.pusher.failures,
            syncs=receiver.syncer.applied,
            sync_refusals=tuple(receiver.syncer.refusals.items()),
            records=tuple((kind_of(kind).plural, count) for kind, count in receiver.configuration.counts.items()),
        )
    )


def flipped(frames: list[Any]) -> list[Any]:
    """A bit of the first record is another."""
    change = next(change for frame in frames for change in frame.chunk.changes if change.record)
    change.record = change.record[:-1] + bytes([change.record[-1] ^ 1])
    return frames


async def test_b3_b5_edits_and_what_is_kept_out_move_the_metrics_of_host_and_spare(tmp_path: Path) -> None:
    cloud = TrialCloud()
    host, spare = TrialReceiver(cloud, tmp_path / "host", 1), TrialReceiver(cloud, tmp_path / "spare", 2)
    at_host, at_spare = page_of(lambda: metrics_at(host)), page_of(lambda: metrics_at(spare))
    for receiver in (host, spare):
        await receiver.prepare()
    async with moving(
        at_host,
        'hotspare_receiver_records{kind="users"} +1',
        "hotspare_receiver_configuration_pushes_total +1",
        "hotspare_receiver_configuration_revision up",
        'hotspare_receiver_configuration_state{state="up_to_date"} =1',
    ):
        await host.edit("user-1", "Ann")
        await host.push_step()
    async with moving(
        at_spare,
        'hotspare_receiver_records{kind="users"} +1',
        "hotspare_receiver_configuration_revision up",
        "hotspare_receiver_configuration_syncs_total +1",
    ):
        await spare.sync_step()
    async with moving(at_host, "hotspare_receiver_configuration_push_failures_total +1"):
        await host.edit("user-2", "Bob")
        cloud.meddling = lambda frames: [Cut]
        await host.push_step()
    await host.push_step()
    async with moving(at_spare, 'hotspare_receiver_configuration_sync_refusals_total{reason="digest"} +1'):
        cloud.meddling = flipped
        await spare.sync_step()
    assert spare.syncer.report().state != group_pb2.SYNC_STATE_UP_TO_DATE
    host.close()
    spare.close()
