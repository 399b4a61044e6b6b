"""docs/settings.md and docs/limits.md have every setting, and the numbers of the code."""

import re

import click
import pytest

from hotspare_cli.commands.outputs import output
from hotspare_cli.commands.settings import set_
from hotspare_cloud import intake
from hotspare_cloud import main as cloud
from hotspare_cloud.core import marks
from hotspare_cloud.core.admission import MOST_ALONE
from hotspare_cloud.services import alarm as cloud_alarm
from hotspare_cloud.services import submissions
from hotspare_cloud.services.paging import page_size
from hotspare_model import event_csv, transfer
from hotspare_model.alarm import TEXT_LIMIT
from hotspare_model.errors import HotspareError
from hotspare_model.group import GroupSettings, Role
from hotspare_model.kinds import kind_named
from hotspare_model.retention import HistoryLimits
from hotspare_model.supervision import DEFAULT_INTERVAL
from hotspare_receiver import main as receiver
from hotspare_receiver.core.dc09_window import FUTURE, PAST
from hotspare_receiver.core.forwarder import OPTIONAL_LIMIT
from hotspare_receiver.direct.gateway import MOST_AT_ONCE, MOST_OF_DEVICE
from hotspare_receiver.outputs.feed_session import BACKLOG_LIMIT
from hotspare_receiver.services import feed_stream, outputs
from hotspare_receiver.snapshot import Dc09Config, SurgardConfig
from hotspare_rpc import alarm_batches, credentials, errors, transport
from tests.contract.pages import page, rows, section

MIB, DAY = 1024 * 1024, 86_400
SETTINGS, LIMITS = page("docs/settings.md"), page("docs/limits.md")


def table(title: str) -> dict[str, list[str]]:
    return {row[0]: row for row in rows(section(SETTINGS, title))}


def options_in(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"--[a-z0-9-]+", cell)}


def options_of(command: click.Command) -> dict[str, object]:
    """The options of a command with their defaults."""
    return {
        parameter.opts[-1]: parameter.default for parameter in command.params if isinstance(parameter, click.Option)
    }


# Settings.


def test_settings_of_a_group_are_those_of_the_rules() -> None:
    """Names, defaults and ranges stand in docs/rules.md too, where test_docs.py holds them to the code."""
    rules = {row[0]: row[1:3] for row in rows(section(page("docs/rules.md"), "Settings").partition("elsewhere")[0])}
    assert {name: row[1:3] for name, row in table("Of a group").items()} == rules


def test_every_setting_of_a_receiver_stands_there() -> None:
    told = options_in(list(table("Of a receiver")))
    assert told == set(options_of(set_)) - {"--yes", "--output"}


def test_the_defaults_of_a_receiver_are_those_of_the_code() -> None:
    told = {name: row[1] for name, row in table("Of a receiver").items()}
    usual = HistoryLimits()
    assert told["`--history-age`, `--history-size`"] == f"{usual.max_age.days} days, {usual.max_bytes // 10**9} GB"
    window = f"{PAST.total_seconds():g} s back, {FUTURE.total_seconds():g} s ahead"
    assert told["`--dc09-time-window`"] == window
    assert told["`--disk-floor`"] == f"{cloud.DISK_FLOOR_MB} MB"


def test_the_defaults_of_an_output_are_those_of_the_code() -> None:
    told = {name: row[1] for name, row in table("Of an output").items()}
    dc09, surgard = Dc09Config(), SurgardConfig()
    for name, span in (("`--answer-timeout`", dc09.answer_timeout), ("`--heartbeat`", dc09.heartbeat)):
        assert told[name] == f"{span.total_seconds():g} s"
    assert (dc09.answer_timeout, dc09.heartbeat) == (surgard.answer_timeout, surgard.heartbeat)
    assert told["`--line-number` (DC-09)"] == dc09.line_number
    both = f"{surgard.line_number}, {surgard.receiver_number}"
    assert told["`--line-number`, `--receiver-number` (Sur-Gard)"] == both
    assert told["`--attempts` (Sur-Gard)"] == str(surgard.attempts)
    assert told["`--transport`"] == dc09.transport.name.lower()
    assert told["`--form`"] == dc09.form.name.lower().replace("_", "-")
    assert told["`--width` (Sur-Gard)"] == surgard.width.name.lower()
    assert isinstance(output, click.Group)
    assert options_in(list(told)) <= set(options_of(output.commands["add"]))


def test_the_default_of_a_device_is_that_of_the_code() -> None:
    told = table("Of a device")["`--supervision`"][1]
    assert told == f"{DEFAULT_INTERVAL.total_seconds():g} s"


@pytest.mark.parametrize(("main", "name"), [(cloud.main, "hotspare-cloud"), (receiver.main, "hotspare-receiver")])
def test_every_option_of_a_server_stands_there_with_its_default(main: click.Group, name: str) -> None:
    text = section(SETTINGS, "Of the processes")
    begin = text.index(f"| option of `{name} serve` |")
    told = {row[0].strip("`"): row[1] for row in rows(text[begin:].split("\n\n")[0])}
    options = options_of(main.commands["serve"])
    assert set(told) == set(options)
    for option, default in options.items():
        if isinstance(default, int | str):
            assert told[option].removesuffix(" MB") == str(default), option


# Limits.


def most(kind: str, field: str) -> int:
    found = kind_named(kind)
    assert found is not None
    return int(found.at(field).most or 0)


NUMBERS: dict[str, int] = {
    "the alarm as a whole, serialized": submissions.ALARM_BYTES,
    "`partition`": marks.PARTITION_LIMIT,
    "`zone`": marks.ZONE_LIMIT,
    "`text`": TEXT_LIMIT,
    "`occur_time`, back": int(marks.OLDEST / DAY),
    "`occur_time`, ahead": int(marks.NEWEST / DAY),
    "alarms in a batch of `PublishAlarms`": alarm_batches.BATCH_ALARMS,
    "size of a batch": alarm_batches.BATCH_BYTES // MIB,
    "batches of a stream without an answer": cloud_alarm.WINDOW,
    "alarms that wait for their commit, of all devices": intake.WAITING_LIMIT,
    "direct alarms under way at a host": MOST_AT_ONCE,
    "direct alarms under way at a host, of one device": MOST_OF_DEVICE,
    "free disk of the cloud": cloud.DISK_FLOOR_MB,
    "`window` of a subscription": feed_stream.MOST_WINDOW,
    "cursors in an acknowledgement": feed_stream.MOST_CURSORS,
    "alarms that wait for a best-effort subscriber that is away": OPTIONAL_LIMIT,
    "acknowledgements remembered for a subscription": BACKLOG_LIMIT,
    "ids of devices, users, accounts, sub accounts, outputs, subscriptions": credentials.LONGEST_ID,
    "account number": most("device", "account_number"),
    "line number of a device": most("device", "line_number"),
    "supervision interval": most("device", "supervision_interval") // DAY,
    "name of a device, partition, zone, channel, user, event": most("event", "name"),
    "number of a partition": most("partition", "number"),
    "number of a zone or a channel": most("zone", "number"),
    "detector of a zone": most("zone", "detector_type"),
    "address of a channel's picture": most("channel", "url"),
    "telephone of a user": most("user", "phone"),
    "mail address of a user": most("user", "email"),
    "devices of a user": most("user", "devices"),
    "a file of events": event_csv.MAX_BYTES // MIB,
    "a piece of a transfer": transfer.CHUNK_LIMIT,
    "a configuration as a transfer": transfer.MAX_TRANSFER // MIB,
    "receivers with a role": len(Role),
    "receivers without a role": MOST_ALONE,
    "addresses of an output": outputs.MOST_ADDRESSES,
    "alarms in hand of the working receiver": GroupSettings().window,
    "a message": transport.MESSAGE_LIMIT // MIB,
    "a message or a value in an error": errors.MESSAGE_LIMIT,
    "a key or token in metadata": credentials.LONGEST_SECRET,
}
"""What the first number of a row has to be."""
IN_WORDS = {
    "`alarm_id`", "`device_id`", "`qualifier`", "`code`", "an alarm is known again for", "names of tokens",
    "`page_size` of most lists", "subscribers of a subscription", "operator's reason of a move", "pings of a client",
}  # fmt: skip
"""Rows that have no number, or one that is not a constant of the code: they are told by the contract."""


def test_every_limit_is_that_of_the_code() -> None:
    told = {row[0]: row[1] for row in rows(LIMITS)}
    assert set(told) == set(NUMBERS) | IN_WORDS
    first = {name: re.search(r"\d[\d,]*", cell) for name, cell in told.items()}
    found = {name: int(match[0].replace(",", "")) for name, match in first.items() if match and name in NUMBERS}
    assert found == NUMBERS


def test_names_of_all_kinds_are_as_long() -> None:
    kinds = ("device", "partition", "zone", "channel", "user", "event")
    assert {most(kind, "name") for kind in kinds} == {128}
    assert most("zone", "number") == most("channel", "number")


def test_what_is_told_in_words_is_so() -> None:
    told = {row[0]: row[1] for row in rows(LIMITS)}
    with pytest.raises(HotspareError):
        page_size(1001)
    assert page_size(1000) == int(told["`page_size` of most lists"].replace(",", ""))
    assert told["pings of a client"] == f"one in {transport.FASTEST_PING_MS} ms"
    assert f"{event_csv.MAX_LINES:,} lines" in told["a file of events"]
