"""What the receiver's services ask of a request: pages, masks, names (S4)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from hotspare.v1 import output_pb2
from hotspare_model.errors import HotspareError, Reason
from hotspare_model.release import incompatibility
from hotspare_model.surgard import Width
from hotspare_receiver.identity import identify, this_machine
from hotspare_receiver.services.outputs import changed_output, output_from_proto
from hotspare_receiver.services.requests import (
    check_aes_key,
    check_etag,
    check_hex,
    check_name,
    check_text,
    mask_paths,
    page_size,
    page_token,
    read_page_token,
)
from hotspare_receiver.snapshot import Dc09Form, SurgardConfig, Transport
from hotspare_receiver.store.tokens import TokenRole
from hotspare_receiver.tokens import may


def reason_of(error: pytest.ExceptionInfo[HotspareError]) -> Reason:
    return error.value.reason


def test_a_page_token_goes_on_with_its_own_list_and_filters() -> None:
    token = page_token("devices", "panel-7", "text", "1234")
    assert read_page_token(token, "devices", "text", "1234") == "panel-7"
    assert read_page_token("", "devices") is None
    assert read_page_token(page_token("alarms", 12), "alarms") == 12


@pytest.mark.parametrize("token", ["x", "%%%", "bnVsbA==", "WzEsMl0=", "\u00e9", "W10=" * 400])
def test_s4_a_damaged_page_token_is_refused(token: str) -> None:
    with pytest.raises(HotspareError) as error:
        read_page_token(token, "devices")
    assert reason_of(error) is Reason.PAGE_TOKEN_INVALID


def test_a_page_token_of_another_list_or_filter_is_refused() -> None:
    token = page_token("devices", "panel-7", "text")
    for name, filters in (("outputs", ("text",)), ("devices", ("other",)), ("devices", ())):
        with pytest.raises(HotspareError) as error:
            read_page_token(token, name, *filters)
        assert reason_of(error) is Reason.PAGE_TOKEN_INVALID


def test_a_page_has_its_usual_size_and_a_limit() -> None:
    assert (page_size(0, 1000), page_size(7, 1000)) == (100, 7)
    with pytest.raises(HotspareError) as error:
        page_size(1001, 1000)
    assert reason_of(error) is Reason.FIELD_INVALID


def test_a_mask_names_what_changes() -> None:
    assert mask_paths(FieldMask(paths=["a", "b", "a"]), {"a", "b"}) == ("a", "b")
    for mask, reason in (
        (FieldMask(), Reason.FIELD_INVALID),
        (FieldMask(paths=["c"]), Reason.FIELD_MASK_INVALID),
        (FieldMask(paths=["later"]), Reason.FIELD_MASK_INVALID),
    ):
        with pytest.raises(HotspareError) as error:
            mask_paths(mask, {"a", "b"}, {"later"})
        assert reason_of(error) is reason


def test_an_etag_counts_only_when_it_was_given() -> None:
    check_etag("", "now")
    check_etag("now", "now")
    with pytest.raises(HotspareError) as error:
        check_etag("before", "now")
    assert (reason_of(error), error.value.metadata) == (Reason.ETAG_MISMATCH, {"etag": "now"})


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "\u00e4", "a\n"])
def test_s4_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(HotspareError) as error:
        check_name("name", name)
    assert reason_of(error) is Reason.FIELD_INVALID


def test_names_texts_digits_and_keys_that_are_fine() -> None:
    assert check_name("name", "Panel-7.main_") == "Panel-7.main_"
    assert check_name("name", "@desk", also="@") == "@desk"
    assert check_text("text", "Lager S\u00fcd", 20) == "Lager S\u00fcd"
    assert check_hex("number", "12ab", 3, 16) == "12AB"
    assert check_aes_key("key", b"k" * 24) == b"k" * 24
    assert check_aes_key("key", b"") == b""


def test_s4_texts_digits_and_keys_that_are_not_fine() -> None:
    for refuse in (
        lambda: check_text("text", "a\x1b[2J", 20),
        lambda: check_text("text", "a" * 21, 20),
        lambda: check_hex("number", "12", 3, 16),
        lambda: check_hex("number", "12G4", 3, 16),
        lambda: check_aes_key("key", b"k" * 17),
    ):
        with pytest.raises(HotspareError) as error:
            refuse()
        assert reason_of(error) is Reason.FIELD_INVALID
        assert "kkk" not in error.value.message


def test_s1_each_role_includes_those_below_it_and_feed_stands_for_itself() -> None:
    order = [TokenRole.ADMIN, TokenRole.OPERATOR, TokenRole.VIEWER]
    for place, role in enumerate(order):
        assert [may(role, needed) for needed in order] == [index >= place for index in range(3)]
        assert not may(role, TokenRole.FEED)
        assert not may(TokenRole.FEED, role)
    assert may(TokenRole.FEED, TokenRole.FEED)


def dc09_output(**more: object) -> output_pb2.Output:
    options = output_pb2.Dc09Options(receiver_number="1", line_number="a2", key=b"k" * 16)
    return output_pb2.Output(
        name="arc",
        kind=output_pb2.OUTPUT_KIND_SIA_DC09,
        addresses=["127.0.0.1:7100", "[::1]:7100"],
        dc09=options,
        **more,  # type: ignore[arg-type]
    )


def test_o3_an_output_has_addresses_in_their_order_and_usual_values() -> None:
    config = output_from_proto(dc09_output())
    assert [str(address) for address in config.addresses] == ["127.0.0.1:7100", "[::1]:7100"]
    assert config.required
    assert (config.dc09.line_number, config.dc09.key) == ("A2", b"k" * 16)
    assert config.dc09.answer_timeout == timedelta(seconds=4)
    assert "kkk" not in repr(config)


def test_an_output_that_is_read_and_written_back_keeps_its_key() -> None:
    before = output_from_proto(dc09_output())
    asked = output_pb2.Output(dc09=output_pb2.Dc09Options(line_number="7"))
    assert changed_output(before, asked, ["dc09"]).dc09.key == b"k" * 16
    assert changed_output(before, asked, ["dc09"]).dc09.line_number == "7"
    assert changed_output(before, asked, ["dc09.key"]).dc09.key is None
    assert changed_output(before, asked, ["dc09.key"]).dc09.line_number == "A2"


def surgard_output(**options: Any) -> output_pb2.Output:
    return output_pb2.Output(
        name="arc",
        kind=output_pb2.OUTPUT_KIND_SURGARD,
        addresses=["127.0.0.1:7100"],
        surgard=output_pb2.SurgardOptions(**options),
    )


def test_o1_a_surgard_output_has_usual_values_and_its_own() -> None:
    assert output_from_proto(surgard_output()).surgard == SurgardConfig()
    config = output_from_proto(
        surgard_output(width=output_pb2.SURGARD_WIDTH_SYSTEM, receiver_number=0, line_number=999, attempts=1)
    )
    assert config.surgard == SurgardConfig(Width.SYSTEM, 0, 999, attempts=1)


def test_o1_single_options_of_a_surgard_output_change_and_are_judged_together() -> None:
    before = output_from_proto(surgard_output(line_number=5, attempts=2))
    wide = output_pb2.Output(
        surgard=output_pb2.SurgardOptions(width=output_pb2.SURGARD_WIDTH_SYSTEM, line_number=42, receiver_number=9)
    )
    after = changed_output(before, wide, ["surgard.line_number", "surgard.width"])
    assert after.surgard == SurgardConfig(Width.SYSTEM, 1, 42, attempts=2)
    assert changed_output(after, output_pb2.Output(), ["surgard.line_number"]).surgard == replace(
        SurgardConfig(Width.SYSTEM, attempts=2), line_number=1
    )
    for path in ("surgard.line_number", "dc09.key", "dc09"):
        with pytest.raises(HotspareError):
            changed_output(before, wide, [path])


def test_o1_transport_and_form_of_a_dc09_output_change() -> None:
    before = output_from_proto(dc09_output())
    asked = output_pb2.Output(
        dc09=output_pb2.Dc09Options(transport=output_pb2.TRANSPORT_UDP, form=output_pb2.DC09_FORM_SIA_DCS)
    )
    after = changed_output(before, asked, ["dc09.transport", "dc09.form"])
    assert (after.dc09.transport, after.dc09.form) == (Transport.UDP, Dc09Form.SIA_DCS)
    assert after.dc09.key == b"k" * 16


@pytest.mark.parametrize(
    "wrong",
    [
        output_pb2.Output(name="arc", addresses=["127.0.0.1:1"]),
        output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_STREAM),
        output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09),
        output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09, addresses=["127.0.0.1:0"]),
        output_pb2.Output(name="arc", kind=output_pb2.OUTPUT_KIND_SIA_DC09, addresses=["nowhere"]),
        surgard_output(line_number=10),
        surgard_output(receiver_number=100),
        surgard_output(width=output_pb2.SURGARD_WIDTH_SYSTEM, line_number=1000),
        surgard_output(attempts=17),
        surgard_output(heartbeat=Duration(seconds=100)),
        surgard_output(heartbeat=Duration()),
        surgard_output(answer_timeout=Duration(nanos=500_000_000)),
        output_pb2.Output(
            name="arc",
            kind=output_pb2.OUTPUT_KIND_SURGARD,
            addresses=["127.0.0.1:1"],
            dc09=output_pb2.Dc09Options(),
        ),
        output_pb2.Output(
            name="arc",
            kind=output_pb2.OUTPUT_KIND_SIA_DC09,
            addresses=["127.0.0.1:1"],
            surgard=output_pb2.SurgardOptions(),
        ),
    ],
)
def test_s4_an_output_that_is_not_served_or_makes_no_sense_is_refused(wrong: output_pb2.Output) -> None:
    with pytest.raises(HotspareError) as error:
        output_from_proto(wrong)
    assert reason_of(error) is Reason.FIELD_INVALID


def test_g6_two_receivers_on_one_machine_have_one_machine_id_and_the_machines_own_stays_secret() -> None:
    one, other = identify("a"), identify("b")
    assert one.machine_id == other.machine_id
    assert one.incarnation != other.incarnation
    assert identify("a", "mine").machine_id == "mine"


def test_g6_a_machine_without_machine_id_has_one_all_the_same() -> None:
    assert this_machine(()) == this_machine(())
    assert len(this_machine(())) == 32


@pytest.mark.parametrize(
    ("client", "server", "fine"),
    [
        ("", "1.2.3", True),
        ("1.0.0", "1.2.3", True),
        ("v1.0", "1.2.3", True),
        ("2.0.0", "1.2.3", False),
        ("?", "1.2.3", False),
    ],
)
def test_v3_a_client_of_the_same_major_version_works(client: str, server: str, fine: bool) -> None:
    assert (incompatibility(client, server) == "") is fine
