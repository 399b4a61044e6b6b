"""Stream outputs as messages and as rows (O1)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotspare.v1 import output_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_receiver.services.outputs import changed_output, output_from_proto, output_to_proto
from hotspare_receiver.snapshot import StreamConfig
from hotspare_receiver.store.outputs import OutputStore, StoredOutput
from hotspare_receiver.store.schema import migrations
from hotspare_store.database import Database

MORNING = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
STREAM = output_pb2.OUTPUT_KIND_STREAM


def stream_output(name: str = "feed", subscription: str = "automation", **more: object) -> output_pb2.Output:
    options = output_pb2.StreamOptions(subscription=subscription)
    return output_pb2.Output(name=name, kind=STREAM, stream=options, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OutputStore]:
    database = Database.open(tmp_path / "receiver.db", migrations)
    yield OutputStore(database)
    database.close()


async def test_o1_a_stream_output_is_kept_and_shown_as_it_was_asked_for(store: OutputStore) -> None:
    config = output_from_proto(stream_output(required=False))
    assert (config.stream, config.required, config.addresses) == (StreamConfig("automation"), False, ())
    kept = await store.create(config, MORNING)
    assert (await store.create(config, MORNING)).config == config
    again = OutputStore(store._database).outputs["feed"]
    assert again.config == config
    shown = output_to_proto(again, None)
    assert (shown.kind, shown.stream.subscription, shown.required, list(shown.addresses)) == (
        STREAM, "automation", False, [],
    )  # fmt: skip
    assert shown.etag == kept.etag


async def test_o1_two_outputs_cannot_share_a_subscription(store: OutputStore) -> None:
    await store.create(output_from_proto(stream_output()), MORNING)
    await store.create(output_from_proto(stream_output("other", "second")), MORNING)

    def take_over(existing: StoredOutput) -> object:
        return changed_output(existing.config, stream_output(), ["stream.subscription"])

    with pytest.raises(HotspareError) as twice:
        await store.create(output_from_proto(stream_output("third")), MORNING)
    with pytest.raises(HotspareError) as moved:
        await store.update("other", take_over)  # type: ignore[arg-type]
    for error in (twice.value, moved.value):
        assert error.reason is Reason.RESOURCE_EXISTS
        assert error.metadata == {"kind": "subscription", "id": "automation"}
    assert sorted(store.outputs) == ["feed", "other"]


def test_o1_subscription_and_best_effort_of_a_stream_output_change() -> None:
    before = output_from_proto(stream_output())
    after = changed_output(before, stream_output(subscription="other", required=False), ["stream", "required"])
    assert (after.stream, after.required) == (StreamConfig("other"), False)
    for path in ("dc09", "surgard.attempts"):
        with pytest.raises(HotspareError):
            changed_output(before, stream_output(), [path])
    with pytest.raises(HotspareError):
        changed_output(before, output_pb2.Output(addresses=["127.0.0.1:1"]), ["addresses"])


@pytest.mark.parametrize(
    "wrong",
    [
        stream_output(subscription=""),
        stream_output(subscription="a b"),
        stream_output(subscription="x" * 65),
        stream_output(addresses=["127.0.0.1:1"]),
        output_pb2.Output(name="feed", kind=STREAM, dc09=output_pb2.Dc09Options()),
        output_pb2.Output(
            name="feed",
            kind=output_pb2.OUTPUT_KIND_SURGARD,
            addresses=["127.0.0.1:1"],
            stream=output_pb2.StreamOptions(subscription="a"),
        ),
    ],
)
def test_s4_a_stream_output_that_makes_no_sense_is_refused(wrong: output_pb2.Output) -> None:
    with pytest.raises(HotspareError) as error:
        output_from_proto(wrong)
    assert error.value.reason is Reason.FIELD_INVALID
