"""What the fuzzer feeds: frames that are nearly right, pieces of them in any order, and bytes of no form at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from hotspare.v1 import alarm_pb2
from hotspare_model.dc09 import Frame, encode, seal
from hotspare_model.dc09_crypto import encrypt
from tests.fuzz.targets import KEY, TARGETS, WALL, pad

DATA = Path(__file__).parent.parent / "data"


def real_frames() -> list[bytes]:
    """Frames of real panels, and what is none."""
    names = ("dc09-accept.txt", "dc09-refuse.txt")
    found = [line for name in names for line in (DATA / name).read_bytes().splitlines()]
    return [b"\n" + line + b"\r" for line in found if line and not line.startswith(b"# ")]


def own_frames() -> list[bytes]:
    """Frames of our making: encrypted ones, with extended data, with a binary CRC."""
    extended = (("H", "20:30:01,08-27-2026"), ("I", "Door"), ("Y", "44N30.5"))
    frames = []
    for account, key in (("AAA", None), ("B12345", KEY), ("C0DE", KEY), ("DEAD", KEY)):
        for id_token, data in (("ADM-CID", "1130 01 015"), ("SIA-DCS", "Nri1/BA5*'Door'NM/FA1|AText"), ("NULL", "")):
            frame = Frame(
                id_token, 7, "1", "2", account, key is not None, data=f"#{account}|{data}" if data else "",
                extended=extended if data else (), timestamp=WALL,
            )  # fmt: skip
            frames.append(encode(frame, key, pad if key else None))
    frames.append(encode(Frame("NULL", 0, account="AAA", binary_crc=True)))
    return frames


SEEDS = (*real_frames(), *own_frames())

_SMALL = st.sampled_from([b"", b"0", b"AAA", b"B12345", b"C0DE", b"\n", b"\r", b'"', b"[", b"]", b"|", b"#", b"\xff"])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A frame with some of its bytes changed, left out, or put in; often with a right CRC and length all the same."""
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 8))] = draw(_SMALL | st.binary(max_size=8))
    if draw(st.booleans()) and (start := raw.find(b'"')) >= 0:
        return seal(bytes(raw[start:]).removesuffix(b"\r")[:4000], draw(st.booleans()))
    return bytes(raw)


@st.composite
def sealed(draw: st.DrawFn) -> bytes:
    """Header and content of parts, with a right CRC and length; content also behind the right key."""
    star = draw(st.sampled_from([b"", b"*"]))
    head = b'"%b%b"%b%b%b%b[' % (
        star,
        draw(st.sampled_from([b"NULL", b"ADM-CID", b"SIA-DCS", b"ACK", b"NAK", b"DUH", b"RSP", b"SCN-S8", b""])),
        draw(st.sampled_from([b"0000", b"0001", b"9999", b"00A1", b"1"])),
        draw(st.sampled_from([b"", b"R1", b"R", b"RABCDEF", b"R4F39L4F39"])),
        draw(st.sampled_from([b"", b"L0", b"L", b"L123456", b"L1234567"])),
        draw(st.sampled_from([b"", b"#", b"#AAA", b"#B12345", b"#c0de", b"#DEAD", b"#" + b"F" * 17])),
    )
    content = draw(st.sampled_from([b"", b"#AAA|", b"#B12345|", b"|"])) + draw(
        st.from_regex(rb"[136][0-9A-F]{3} [0-9]{2} [0-9]{3}", fullmatch=True)
        | st.from_regex(rb"N(ri[0-9]{1,12})?/?([A-Z]{2}[0-9]{0,6}/?){0,4}(\^[a-z]*\^?)?(\|A[ -~]*)?", fullmatch=True)
        | st.binary(max_size=40)
    )
    content += b"]" + draw(st.sampled_from([b"", b"[H20:30:01,08-27-2026]", b"[I\xe4\x81]", b"[]", b"[Y99N99]", b"["]))
    content += draw(
        st.sampled_from([b"", b"_20:38:07,08-27-2026", b"_20:38:07,02-30-2026", b"_", b"_99:00:00,01-01-1970"])
    )
    if star and draw(st.booleans()):
        plain = b"|" + content
        content = encrypt(KEY, plain.rjust(-(-len(plain) // 16) * 16, b"p")).hex().encode("ascii")
    return seal((head + content)[:4000], draw(st.booleans()))


PIECES: SearchStrategy[bytes] = st.one_of(st.sampled_from(SEEDS), mutated(), sealed(), st.binary(max_size=64), _SMALL)

STREAMS: SearchStrategy[bytes] = st.builds(
    lambda piece, parts: bytes([piece]) + b"".join(parts), st.integers(0, 255), st.lists(PIECES, max_size=12)
)

_TEXTS = st.text(max_size=30)
_NUMBERS = st.integers(0, 2**32 - 1)


@st.composite
def alarms(draw: st.DrawFn) -> bytes:
    """A serialized alarm with anything in it."""
    message = alarm_pb2.Alarm(
        alarm_id=draw(_TEXTS), device_id=draw(_TEXTS), code=draw(_TEXTS), text=draw(_TEXTS),
        verification_url=draw(_TEXTS), partition=draw(_NUMBERS), zone=draw(_NUMBERS),
    )  # fmt: skip
    message.qualifier = draw(st.integers(-(2**31), 2**31 - 1))  # type: ignore[assignment]
    message.code_format = draw(st.integers(-(2**31), 2**31 - 1))  # type: ignore[assignment]
    if draw(st.booleans()):
        message.occur_time.seconds = draw(st.integers(-(2**63), 2**63 - 1))
        message.occur_time.nanos = draw(st.integers(-(2**31), 2**31 - 1))
    if draw(st.booleans()):
        message.latitude = draw(st.floats(allow_nan=False))
        message.longitude = draw(st.floats(allow_nan=False))
    raw = bytearray(message.SerializeToString())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


INPUTS: Mapping[str, SearchStrategy[bytes]] = {"decoder": PIECES, "session": STREAMS, "intake": alarms()}
assert INPUTS.keys() == TARGETS.keys()


# --- Broken at random -------------------------------------------------------------------------------------------------


def own_alarms() -> list[bytes]:
    """Alarms of the contract with all fields, and with few."""
    full = alarm_pb2.Alarm(
        alarm_id="0190c7a2-7d1f-7000-8000-000000000001", device_id="p", code="130", partition=1, zone=5, text="Door",
        verification_url="https://example.org/1", latitude=44.5, longitude=-93.25,
        qualifier=alarm_pb2.QUALIFIER_RESTORE, code_format=alarm_pb2.CODE_FORMAT_SIA,
    )  # fmt: skip
    full.occur_time.FromDatetime(WALL)
    return [full.SerializeToString(), alarm_pb2.Alarm(code="BA").SerializeToString(), b""]


SEEDS_OF: Mapping[str, Sequence[bytes]] = {"decoder": SEEDS, "session": SEEDS, "intake": own_alarms()}


def broken(draw: Random, seeds: Sequence[bytes]) -> bytes:
    """Some seeds one behind the other, with bytes changed, left out, doubled and put in; often sealed anew."""
    parts = []
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        raw = bytearray(draw.choice(seeds))
        for _ in range(draw.choice((0, 1, 1, 2, 4, 8))):
            at, length = draw.randrange(len(raw) + 1), draw.choice((0, 1, 1, 2, 8))
            filling = draw.choice((draw.randbytes(length), draw.choice(_STRUCTURE), bytes(raw[at : at + 20]), b""))
            raw[at : at + length] = filling
        start = raw.find(b'"')
        if start >= 0 and draw.random() < 0.6:
            raw = bytearray(seal(bytes(raw[start:]).removesuffix(b"\r")[:4000], draw.random() < 0.2))
        parts.append(bytes(raw))
    # The first byte tells a session into which pieces it is cut.
    return draw.choice((b"", bytes([draw.randrange(256)]))) + b"".join(parts)


_STRUCTURE = (b"\n", b"\r", b'"', b"*", b"#", b"[", b"]", b"|", b"_", b"R", b"L", b"0000", b"/", b"^", b"N", b"\xff")
