"""Codes of one list in the other: what says the same, and what goes out as a general event with the original."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotspare_model.alarm import Alarm, CodeFormat
from hotspare_model.code_translation import CATALOGUE_ALONE, CodeBook, Definition, SiaForwarded
from hotspare_model.contact_id import Qualifier, is_event_code
from hotspare_model.event_codes import CATALOGUE, Forwarded
from hotspare_model.event_definitions import DEFINITIONS
from hotspare_model.sia_catalogue import OF_CONTACT_ID, SIA_ONLY

NEW, RESTORE, STATUS = Qualifier.NEW, Qualifier.RESTORE, Qualifier.STATUS
to_contact_id, to_sia = CATALOGUE_ALONE.to_contact_id, CATALOGUE_ALONE.to_sia

GROUP = CodeBook(
    [
        Definition("130", "BA", "BR"),
        Definition("131", "BX", "BY"),
        Definition("132", "BI"),
        Definition("134"),
        Definition("9B1", "ZY", forwarded=False),
        Definition("", "OP", "CL", forwarded=False),
        Definition("401", "OP", "CL"),
        Definition("", "QQ", "QZ"),
        Definition("1A1", "b1"),
    ]
)
"""Beside plain definitions: of codes that SIA has no word for, without an end, without a SIA code, of the group's own,
one code in two records, and codes that no wire can carry."""


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


# By the definitions of a group.


@pytest.mark.parametrize(
    ("code", "qualifier", "forwarded"),
    [
        ("130", NEW, SiaForwarded("BA")),
        ("131", NEW, SiaForwarded("BX")),
        ("131", STATUS, SiaForwarded("BX")),
        ("131", RESTORE, SiaForwarded("BY")),
        ("132", NEW, SiaForwarded("BI")),
        # Nobody said what ends BI: sent as BI it would be another alarm.
        ("132", RESTORE, SiaForwarded("BR", "3132")),
        ("134", NEW, SiaForwarded("BA", "1134")),
        ("9B1", NEW, SiaForwarded("ZY")),
        ("9B1", RESTORE, SiaForwarded("UR", "39B1")),
        ("1A1", NEW, SiaForwarded("UA", "11A1")),
        ("110", NEW, SiaForwarded("FA")),
    ],
)
def test_o1_contact_id_goes_out_in_sia_as_the_group_defines_it(
    code: str, qualifier: Qualifier, forwarded: SiaForwarded
) -> None:
    assert GROUP.to_sia(alarm(code, qualifier, CodeFormat.CONTACT_ID)) == forwarded


@pytest.mark.parametrize(
    ("code", "qualifier", "forwarded"),
    [
        ("BX", NEW, Forwarded(NEW, "131")),
        ("BX", RESTORE, Forwarded(RESTORE, "131")),
        ("BY", NEW, Forwarded(RESTORE, "131")),
        ("ZY", NEW, Forwarded(NEW, "9B1")),
        ("OP", NEW, Forwarded(NEW, "401")),
        ("CL", NEW, Forwarded(RESTORE, "401")),
        ("QQ", NEW, Forwarded(NEW, "140", "QQ")),
        ("FA", NEW, Forwarded(NEW, "110")),
    ],
)
def test_o1_sia_goes_out_in_contact_id_as_the_group_defines_it(
    code: str, qualifier: Qualifier, forwarded: Forwarded
) -> None:
    assert GROUP.to_contact_id(alarm(code, qualifier)) == forwarded


def test_o1_codes_of_the_group_s_own_are_known_in_their_own_list() -> None:
    assert GROUP.to_contact_id(alarm("9B1", STATUS, CodeFormat.CONTACT_ID)) == Forwarded(STATUS, "9B1")
    assert GROUP.to_sia(alarm("QQ")) == SiaForwarded("QQ")
    assert GROUP.to_sia(alarm("QQ", RESTORE)) == SiaForwarded("QZ")


def test_o1_a_definition_without_a_sia_code_leaves_it_to_the_catalogue() -> None:
    book = CodeBook([Definition("130"), Definition("301", "AT")])
    assert book.to_sia(alarm("130", NEW, CodeFormat.CONTACT_ID)) == SiaForwarded("BA")
    assert book.to_sia(alarm("301", RESTORE, CodeFormat.CONTACT_ID)) == SiaForwarded("AR")


def test_o1_the_catalogue_as_definitions_translates_as_the_catalogue_does() -> None:
    book = CodeBook(
        Definition(str(one["contact_id_code"]), str(one["sia_code"]), str(one["sia_restore_code"]))
        for one in DEFINITIONS
    )
    sia = {
        code
        for codes in (*OF_CONTACT_ID.values(), *(c for names in SIA_ONLY.values() for c in names))
        for code in codes.split()
    }
    for qualifier in Qualifier:
        for code_format, codes in ((CodeFormat.CONTACT_ID, CATALOGUE.keys()), (CodeFormat.SIA, sia)):
            for code in codes:
                one = alarm(code, qualifier, code_format)
                assert book.to_sia(one) == to_sia(one)
                assert book.to_contact_id(one) == to_contact_id(one)


@pytest.mark.parametrize(
    ("code", "code_format", "event_id"),
    [
        ("130", CodeFormat.CONTACT_ID, "130"),
        ("BA", CodeFormat.SIA, "130"),
        ("BR", CodeFormat.SIA, "130"),
        # Its own record says more of a SIA code than one that it shares.
        ("OP", CodeFormat.SIA, "SIA-OP"),
        ("CL", CodeFormat.SIA, "SIA-OP"),
        ("110", CodeFormat.CONTACT_ID, None),
        ("BA", CodeFormat.CONTACT_ID, None),
        ("", CodeFormat.SIA, None),
        ("", CodeFormat.CONTACT_ID, None),
    ],
)
def test_o1_the_definition_of_a_code_is_found_by_its_beginning_and_its_end(
    code: str, code_format: CodeFormat, event_id: str | None
) -> None:
    found = GROUP.definition_of(alarm(code, NEW, code_format))
    assert (found.event_id if found else None) == event_id


CODES = st.text(alphabet="0129ABFXab?", max_size=4)


@given(
    st.lists(st.builds(Definition, CODES, CODES, CODES), max_size=6),
    CODES,
    st.sampled_from(Qualifier),
    st.sampled_from(CodeFormat),
)
def test_a10_whatever_a_group_defines_something_goes_out_that_fits_the_wire(
    definitions: list[Definition], code: str, qualifier: Qualifier, code_format: CodeFormat
) -> None:
    book, one = CodeBook(definitions), alarm(code, qualifier, code_format)
    contact_id, sia = book.to_contact_id(one), book.to_sia(one)
    assert is_event_code(contact_id.code)
    assert len(sia.code) == 2
    assert sia.code.isupper()
    for replaced, original in ((contact_id.replaced, contact_id.original), (sia.replaced, sia.original)):
        assert replaced == (original is not None)
        assert code in (original or code)
