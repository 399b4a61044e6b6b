"""The digest of a kind (B5): the format of KindDigest, byte for byte."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.digest import RecordKind, bucket_of, digest_of, empty_digests

IDS = st.text(min_size=1, max_size=8)
RECORDS = st.dictionaries(IDS, st.binary(max_size=20), max_size=8)


def by_the_comment(records: dict[str, bytes]) -> bytes:
    """The format of KindDigest in record.proto, written down a second time, as plainly as can be."""
    whole = b""
    for bucket in range(256):
        inside = {name.encode(): record for name, record in records.items()}
        names = sorted(name for name in inside if hashlib.sha256(name).digest()[0] == bucket)
        content = b""
        for name in names:
            content += len(name).to_bytes(4, "big") + name
            content += len(inside[name]).to_bytes(4, "big") + inside[name]
        whole += hashlib.sha256(content).digest() if names else bytes(32)
    return hashlib.sha256(whole).digest()


@given(RECORDS)
def test_b5_the_format_is_that_of_the_contract(records: dict[str, bytes]) -> None:
    digest = digest_of(RecordKind.DEVICE, records.items())
    assert (digest.kind, digest.count) == (RecordKind.DEVICE, len(records))
    assert digest.sha256 == by_the_comment(records)


def test_b5_two_records_of_one_bucket_stand_in_the_order_of_their_ids() -> None:
    first = "a"
    second = next(name for name in map(str, range(10_000)) if bucket_of(name) == bucket_of(first))
    records = {first: b"1", second: b"2"}
    assert digest_of(RecordKind.ZONE, records.items()).sha256 == by_the_comment(records)


def test_b5_an_empty_record_is_not_an_empty_bucket() -> None:
    assert digest_of(RecordKind.ZONE, [("a", b"")]).sha256 != digest_of(RecordKind.ZONE, []).sha256


@given(RECORDS)
def test_b5_the_order_in_which_they_come_does_not_matter(records: dict[str, bytes]) -> None:
    items = list(records.items())
    assert digest_of(RecordKind.ZONE, items) == digest_of(RecordKind.ZONE, reversed(items))


@given(RECORDS, RECORDS)
def test_b5_other_records_have_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    same = digest_of(RecordKind.ZONE, one.items()) == digest_of(RecordKind.ZONE, other.items())
    assert same == (one == other)


def test_b5_a_boundary_moved_between_id_and_record_shows() -> None:
    assert digest_of(RecordKind.DEVICE, [("ab", b"c")]) != digest_of(RecordKind.DEVICE, [("a", b"bc")])


def test_an_id_that_comes_twice_is_a_defect() -> None:
    with pytest.raises(ValueError, match="twice"):
        digest_of(RecordKind.DEVICE, [("a", b"1"), ("a", b"1")])


def test_a_configuration_without_records_has_a_digest_for_each_kind() -> None:
    empty = empty_digests()
    assert [digest.kind for digest in empty] == list(RecordKind)
    assert {digest.sha256 for digest in empty} == {by_the_comment({})}
