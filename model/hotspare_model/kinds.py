"""The six kinds of records that make up a configuration (B1), described once.

This description drives the checks, the references, the storage, the calls of `ConfigurationService`, the backup table
and the command line. A seventh kind is one more entry of `KINDS`, beside its messages and calls in the contract.
"""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cache

from hotspare_model.digest import RecordKind


class Form(Enum):
    """What the values of a field look like."""

    ID = "id"
    """`least` to `most` characters of A-Z a-z 0-9 . _ -."""
    TEXT = "text"
    """One line for people, `least` to `most` characters (code points)."""
    HEX = "hex"
    """`least` to `most` hexadecimal digits, kept in upper case."""
    CONTACT_ID_CODE = "contact_id_code"
    """Three characters of 0-9 and B-F, kept in upper case."""
    SIA_CODE = "sia_code"
    """Two letters, kept in upper case."""
    NUMBER = "number"
    """A whole number from `least` to `most`; 0 stands for none."""
    NUMBERS = "numbers"
    """Distinct numbers, each from `least` to `most`."""
    SPAN = "span"
    """A time of `least` to `most` seconds; zero stands for off."""
    CHOICE = "choice"
    """One of `choices`. The contract numbers them in this order, from 1."""
    FLAG = "flag"
    """Yes or no."""
    PARTS = "parts"
    """`least` to `most` entries, each with the fields of `parts`; no two with the same first field."""
    OTHER = "other"
    """A message of its own: how a device speaks DC-09."""


class OnDelete(Enum):
    """What becomes of a record when one that it refers to is deleted with `cascade`."""

    DELETE = "delete"
    """It is deleted as well."""
    DROP = "drop"
    """It loses the reference."""


DELETE, DROP = OnDelete.DELETE, OnDelete.DROP


@dataclass(frozen=True, slots=True)
class Field:
    """One field that people set. Its name is that of the contract."""

    name: str
    form: Form
    least: int = 0
    most: int = 0
    required: bool = False
    fixed: bool = False
    """Whether it is set on creation and never changes, being part of the record's id."""
    default: object = None
    """What it is where nobody sets it: a timedelta, a bool, or one of `choices`. None: empty, or 0."""
    help: str = ""
    """What it is, for people, in a few words."""
    served: bool = True
    """Whether this release serves it; one that it does not is refused, for it would have no effect."""
    choices: tuple[str, ...] = ()
    parts: tuple["Field", ...] = ()
    empty_is_all: bool = False
    """Whether no number stands for all of them, so that the last number is not dropped without its entry."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that names records of another kind.

    `field` may lead into parts (`devices.device_id`). Where the other kind's id is composed, the field holds its last
    component, and those before it are the fields of the same names beside it, or else of the record.
    """

    field: str
    to: RecordKind
    on_delete: OnDelete


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of records."""

    number: RecordKind
    name: str
    """In the singular; also the field of `Record`, and of the kind's requests and answers."""
    plural: str
    id_field: str
    fields: tuple[Field, ...]
    references: tuple[Reference, ...] = ()
    filter_field: str = ""
    """The field of the list's request that filters, beside `text`."""
    filter_values: tuple[str, ...] = ()
    """The fields of the record that the filter is compared with."""
    id_templates: tuple[str, ...] = ()
    """How the id is composed of fields; the first template whose fields are all there counts. None: who creates the
    record chooses its id."""

    @property
    def title(self) -> str:
        """Its name as the contract's calls and messages have it: `Device`."""
        return self.name.capitalize()

    @property
    def plural_title(self) -> str:
        """Its plural as the contract's calls have it: `Devices`."""
        return self.plural.capitalize()

    def field(self, name: str) -> Field | None:
        """A field by its name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def at(self, path: str) -> Field:
        """A field by its path, into parts too. Raises KeyError."""
        fields = self.fields
        *outer, last = path.split(".")
        for name in outer:
            fields = next((field.parts for field in fields if field.name == name), ())
        found = next((field for field in fields if field.name == last), None)
        if found is None:
            raise KeyError(path)
        return found

    @property
    def given(self) -> bool:
        """Whether who creates a record chooses its id."""
        return not self.id_templates

    @property
    def settable(self) -> tuple[str, ...]:
        """The fields that an update may name."""
        return tuple(field.name for field in self.fields if field.served and not field.fixed)

    @property
    def later(self) -> tuple[str, ...]:
        """The fields of the contract that this release does not serve."""
        return tuple(field.name for field in self.fields if not field.served)


@cache
def template_fields(template: str) -> tuple[str, ...]:
    """The fields that a template of an id is made of."""
    return tuple(name for _, name, _, _ in string.Formatter().parse(template) if name)


def composed_id(kind: Kind, values: Mapping[str, object]) -> str:
    """The id that the values of its fields give a record; empty where they give none."""
    for template in kind.id_templates:
        if all(values.get(name) for name in template_fields(template)):
            return template.format_map(values)
    return ""


LONGEST_ID = 80
"""Characters of a record's id at most, of whatever kind."""

_NAME = Field("name", Form.TEXT, 0, 128, help="what people call it")
_DEVICE = Field("device_id", Form.ID, 1, 64, required=True, fixed=True, help="the device; it must exist")
_DAY = 86_400

KINDS: tuple[Kind, ...] = (
    Kind(
        number=RecordKind.DEVICE,
        name="device",
        plural="devices",
        id_field="device_id",
        fields=(
            Field("device_id", Form.ID, 1, 64, required=True, fixed=True, help="its id, chosen once"),
            _NAME,
            Field("account_number", Form.HEX, 3, 16, required=True, help="account number on the wire to the ARC"),
            Field(
                "supervision_interval",
                Form.SPAN,
                10,
                30 * _DAY,
                default=timedelta(seconds=180),
                help="silence after which it counts as lost; zero: off",
            ),
            Field("line_number", Form.HEX, 1, 6, help="line number on the wire to the ARC, instead of the output's"),
            Field(
                "disabled", Form.FLAG, default=False, help="known to be switched off: its alarms are kept and not sent"
            ),
            Field("dc09", Form.OTHER, help="how it speaks DC-09 on the direct path"),
        ),
        filter_field="account_number",
        filter_values=("account_number",),
    ),
    Kind(
        number=RecordKind.PARTITION,
        name="partition",
        plural="partitions",
        id_field="partition_id",
        fields=(
            _DEVICE,
            Field("number", Form.NUMBER, 1, 99, required=True, fixed=True, help="number of the area in the device"),
            _NAME,
        ),
        references=(Reference("device_id", RecordKind.DEVICE, DELETE),),
        filter_field="device_id",
        filter_values=("device_id",),
        id_templates=("{device_id}/{number}",),
    ),
    Kind(
        number=RecordKind.ZONE,
        name="zone",
        plural="zones",
        id_field="zone_id",
        fields=(
            _DEVICE,
            Field("number", Form.NUMBER, 1, 999, required=True, fixed=True, help="number of the zone in the device"),
            Field("partition_number", Form.NUMBER, 1, 99, help="the area it belongs to; 0: none"),
            _NAME,
            Field("detector_type", Form.TEXT, 0, 64, help="what it detects, in words"),
        ),
        references=(
            Reference("device_id", RecordKind.DEVICE, DELETE),
            Reference("partition_number", RecordKind.PARTITION, DROP),
        ),
        filter_field="device_id",
        filter_values=("device_id",),
        id_templates=("{device_id}/{number}",),
    ),
    Kind(
        number=RecordKind.CHANNEL,
        name="channel",
        plural="channels",
        id_field="channel_id",
        fields=(
            _DEVICE,
            Field("number", Form.NUMBER, 1, 999, required=True, fixed=True, help="number of the channel in the device"),
            _NAME,
            Field("url", Form.TEXT, 0, 2048, help="where its picture is found"),
            Field("zone_numbers", Form.NUMBERS, 1, 999, help="the zones that it shows"),
        ),
        references=(
            Reference("device_id", RecordKind.DEVICE, DELETE),
            Reference("zone_numbers", RecordKind.ZONE, DROP),
        ),
        filter_field="device_id",
        filter_values=("device_id",),
        id_templates=("{device_id}/{number}",),
    ),
    Kind(
        number=RecordKind.USER,
        name="user",
        plural="users",
        id_field="user_id",
        fields=(
            Field("user_id", Form.ID, 1, 64, required=True, fixed=True, help="their id, chosen once"),
            Field("name", Form.TEXT, 0, 128, help="what people call them"),
            Field("phone", Form.TEXT, 0, 32, help="telephone"),
            Field("email", Form.TEXT, 0, 254, help="mail address"),
            Field(
                "devices",
                Form.PARTS,
                0,
                # What one record may grow to has to fit into one piece of a transfer.
                2000,
                help="the devices that they use",
                parts=(
                    Field("device_id", Form.ID, 1, 64, required=True, help="the device; it must exist"),
                    Field("user_number", Form.NUMBER, 1, 999, help="their number at that device; 0: none"),
                    Field(
                        "partition_numbers",
                        Form.NUMBERS,
                        1,
                        99,
                        help="areas they may use; none: all",
                        empty_is_all=True,
                    ),
                ),
            ),
        ),
        references=(
            Reference("devices.device_id", RecordKind.DEVICE, DROP),
            Reference("devices.partition_numbers", RecordKind.PARTITION, DROP),
        ),
        filter_field="device_id",
        filter_values=("devices.device_id",),
    ),
    Kind(
        number=RecordKind.EVENT,
        name="event",
        plural="events",
        id_field="event_id",
        fields=(
            Field("contact_id_code", Form.CONTACT_ID_CODE, fixed=True, help="Contact ID code, three of 0-9 B-F"),
            Field("sia_code", Form.SIA_CODE, help="SIA code, two letters"),
            Field("sia_restore_code", Form.SIA_CODE, help="SIA code of the restore or closing, where it is another"),
            Field("name", Form.TEXT, 1, 128, required=True, help="what people call it"),
            Field(
                "severity",
                Form.CHOICE,
                default="info",
                help="how grave it is",
                choices=("alarm", "trouble", "supervisory", "open_close", "bypass", "test", "info"),
            ),
            Field("forwarded", Form.FLAG, default=True, help="whether alarms with it are forwarded to the ARC"),
        ),
        filter_field="code",
        filter_values=("contact_id_code", "sia_code", "sia_restore_code"),
        id_templates=("{contact_id_code}", "SIA-{sia_code}"),
    ),
)
"""All kinds, in the order of their numbers."""

_BY_NUMBER = {int(kind.number): kind for kind in KINDS}
_BY_NAME = {name: kind for kind in KINDS for name in (kind.name, kind.plural)}


def kind_of(number: int) -> Kind:
    """A kind by its number. Raises KeyError."""
    return _BY_NUMBER[number]


def kind_named(name: str) -> Kind | None:
    """A kind by its name, in the singular or the plural; None for one that is none."""
    return _BY_NAME.get(name)


def referring(to: RecordKind) -> Iterator[tuple[Kind, Reference]]:
    """What may refer to records of a kind."""
    for kind in KINDS:
        for reference in kind.references:
            if reference.to is to:
                yield kind, reference
