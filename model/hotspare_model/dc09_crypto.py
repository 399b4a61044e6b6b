"""The encryption of DC-09 (5.4): AES-CBC with an initial vector of zeros, keys of 128, 192 or 256 bits.

There is no integrity in it: whoever decrypts has to check form and time of what comes out.
"""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

BLOCK = 16
"""Bytes. Plaintext and ciphertext are multiples of it."""

KEY_LENGTHS = (16, 24, 32)
"""Bytes."""

_ZERO_VECTOR = bytes(BLOCK)


class KeyLengthError(ValueError):
    """A key has not 16, 24 or 32 bytes."""


def check_key(key: bytes) -> None:
    """Raise KeyLengthError unless `key` can be used; the message tells its length, never the key (S1)."""
    if len(key) not in KEY_LENGTHS:
        raise KeyLengthError(f"an AES key has 16, 24 or 32 bytes, this one has {len(key)}")


def encrypt(key: bytes, plain: bytes) -> bytes:
    """Encrypt whole blocks. Raises KeyLengthError, and ValueError when `plain` is not a multiple of BLOCK."""
    check_key(key)
    _check_blocks(plain)
    encryptor = Cipher(AES(key), CBC(_ZERO_VECTOR)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def decrypt(key: bytes, cipher: bytes) -> bytes:
    """Decrypt whole blocks. Raises KeyLengthError, and ValueError when `cipher` is not a multiple of BLOCK.

    A wrong key is not noticed here: it gives garbage.
    """
    check_key(key)
    _check_blocks(cipher)
    decryptor = Cipher(AES(key), CBC(_ZERO_VECTOR)).decryptor()
    return decryptor.update(cipher) + decryptor.finalize()


def _check_blocks(data: bytes) -> None:
    if len(data) % BLOCK:
        raise ValueError(f"AES-CBC takes whole blocks of {BLOCK} bytes, got {len(data)} bytes")
