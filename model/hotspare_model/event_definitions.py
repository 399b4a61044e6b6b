"""The definitions of event codes with which a configuration begins: Contact ID and SIA, as values of event records."""

from collections.abc import Iterator, Mapping

from hotspare_model.event_codes import CATALOGUE
from hotspare_model.sia_catalogue import OF_CONTACT_ID, SIA_ONLY


def _definitions() -> Iterator[Mapping[str, object]]:
    for code, known in CATALOGUE.items():
        yield _definition(code, OF_CONTACT_ID.get(code, ""), known.name, known.severity.value)
    for severity, names in SIA_ONLY.items():
        for codes, name in names.items():
            yield _definition("", codes, name, severity)


def _definition(contact_id_code: str, sia_codes: str, name: str, severity: str) -> Mapping[str, object]:
    sia_code, _, sia_restore_code = sia_codes.partition(" ")
    return {
        "contact_id_code": contact_id_code,
        "sia_code": sia_code,
        "sia_restore_code": sia_restore_code,
        "name": name,
        "severity": severity,
        "forwarded": True,
    }


DEFINITIONS: tuple[Mapping[str, object], ...] = tuple(_definitions())
"""Values of the fields of event records, as `hotspare_model.kinds` describes them; no two have the same id."""
