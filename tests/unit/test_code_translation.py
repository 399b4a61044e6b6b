"""Codes of one list in the other: what says the same, and what goes out as a general event with the original."""

import pytest

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.code_translation import SiaForwarded, to_contact_id, to_sia
from hotspare_model.contact_id import Qualifier
from hotspare_model.event_codes import CATALOGUE, Forwarded
from hotspare_model.sia_catalogue import OF_CONTACT_ID

NEW, RESTORE, STATUS = Qualifier.NEW, Qualifier.RESTORE, Qualifier.STATUS


def alarm(code: str, qualifier: Qualifier = NEW, code_format: CodeFormat = CodeFormat.SIA) -> Alarm:
    return Alarm("a", "panel", qualifier, code_format, code, 1, 5, None, "")


@pytest.mark.parametrize(
    ("code", "qualifier", "forwarded"),
    [
        ("BA", NEW, Forwarded(NEW, "130")),
        ("BA", STATUS, Forwarded(STATUS, "130")),
        ("BA", RESTORE, Forwarded(RESTORE, "130")),
        ("BR", NEW, Forwarded(RESTORE, "130")),
        ("OP", NEW, Forwarded(NEW, "401")),
        ("CL", NEW, Forwarded(RESTORE, "401")),
        ("MI", NEW, Forwarded(NEW, "140", "MI")),
        ("??", NEW, Forwarded(NEW, "140", "??")),
    ],
)
def test_a10_sia_in_contact_id(code: str, qualifier: Qualifier, forwarded: Forwarded) -> None:
    assert to_contact_id(alarm(code, qualifier)) == forwarded


@pytest.mark.parametrize(
    ("code", "qualifier", "forwarded"),
    [
        ("130", NEW, SiaForwarded("BA")),
        ("130", RESTORE, SiaForwarded("BR")),
        ("401", RESTORE, SiaForwarded("CL")),
        ("131", NEW, SiaForwarded("BA", "1131")),
        ("131", RESTORE, SiaForwarded("BR", "3131")),
        ("602", RESTORE, SiaForwarded("UR", "3602")),
        ("399", NEW, SiaForwarded("UT", "1399")),
        ("ZZZ", NEW, SiaForwarded("UA", "1ZZZ")),
        ("13Z", NEW, SiaForwarded("UA", "113Z")),
    ],
)
def test_a10_contact_id_in_sia(code: str, qualifier: Qualifier, forwarded: SiaForwarded) -> None:
    assert to_sia(alarm(code, qualifier, CodeFormat.CONTACT_ID)) == forwarded


@pytest.mark.parametrize(
    ("code", "qualifier", "forwarded"),
    [
        ("BA", NEW, SiaForwarded("BA")),
        ("BA", RESTORE, SiaForwarded("BR")),
        ("BR", RESTORE, SiaForwarded("BR")),
        ("MI", NEW, SiaForwarded("MI")),
        ("B1", NEW, SiaForwarded("UA", "B1")),
    ],
)
def test_a10_sia_stays_sia_where_it_is_known(code: str, qualifier: Qualifier, forwarded: SiaForwarded) -> None:
    assert to_sia(alarm(code, qualifier)) == forwarded


def test_a10_what_both_lists_have_goes_there_and_back() -> None:
    for code, codes in OF_CONTACT_ID.items():
        for qualifier, there in zip((NEW, RESTORE), codes.split(), strict=False):
            forwarded = to_sia(alarm(code, qualifier, CodeFormat.CONTACT_ID))
            assert forwarded == SiaForwarded(there)
            assert to_contact_id(alarm(there)) == Forwarded(qualifier, code)


def test_a10_every_known_code_has_two_letters_in_sia() -> None:
    for code in CATALOGUE:
        for qualifier in Qualifier:
            assert len(to_sia(alarm(code, qualifier, CodeFormat.CONTACT_ID)).code) == 2
