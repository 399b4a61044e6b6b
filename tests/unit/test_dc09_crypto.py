"""The encryption of DC-09 against published vectors."""

import pytest

from hotspare_model.dc09_crypto import KeyLengthError, check_key, decrypt, encrypt


# FIPS 197, annex C: with a vector of zeros the first block of CBC is that of ECB.
@pytest.mark.parametrize(
    ("length", "cipher"),
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_the_first_block_is_that_of_fips_197(length: int, cipher: str) -> None:
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert encrypt(bytes(range(length)), plain).hex() == cipher
    assert decrypt(bytes(range(length)), bytes.fromhex(cipher)) == plain


def test_blocks_are_chained() -> None:
    once = encrypt(bytes(16), bytes(32))
    assert once[:16] != once[16:]
    assert decrypt(bytes(16), once) == bytes(32)


@pytest.mark.parametrize("length", [0, 8, 15, 17, 64])
def test_s1_a_key_of_another_length_is_refused_and_not_shown(length: int) -> None:
    with pytest.raises(KeyLengthError, match=f"has {length}$") as caught:
        check_key(b"k" * length)
    assert "kk" not in str(caught.value)


def test_half_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        encrypt(bytes(16), bytes(15))
    with pytest.raises(ValueError, match="whole blocks"):
        decrypt(bytes(16), bytes(17))
