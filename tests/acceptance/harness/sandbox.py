"""Runs a program with the system calls that a unit of systemd leaves it:

    python sandbox.py NAMES FAMILIES PROGRAM WORD…

NAMES is a file with the names of the calls that are allowed, one a line; all others fail with EPERM, as with
`SystemCallErrorNumber=EPERM`. FAMILIES are the numbers of the address families of which sockets can be made. Memory
can't be made executable (`MemoryDenyWriteExecute`), and no privileges are gained. Uses nothing but the standard library
and libseccomp.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_NO_NEW_PRIVS = 38
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
ALLOW = 0x7FFF0000
FAIL = 0x00050000 | errno.EPERM
EQUAL = 4


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def enclose(names: Sequence[str], families: Sequence[int]) -> None:
    """Enclose this process, and all that it will execute. Raises OSError."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    # Of Linux 6.3. systemd does the same by seccomp where it is older.
    if libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) and ctypes.get_errno() != errno.EINVAL:
        _check(-1, "PR_SET_MDWE")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(FAIL)))
    allow = ctypes.c_uint32(ALLOW)
    for name in names:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # of another architecture
        if name != "socket":
            _check(seccomp.seccomp_rule_add(context, allow, number, 0), name)
            continue
        for family in families:
            is_family = _Comparison(0, EQUAL, family, 0)
            _check(seccomp.seccomp_rule_add_array(context, allow, number, 1, ctypes.byref(is_family)), name)
    _check(seccomp.seccomp_load(context), "seccomp_load")


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(-result, f"{what} failed")


if __name__ == "__main__":
    enclose(Path(sys.argv[1]).read_text(encoding="utf-8").split(), [int(each) for each in sys.argv[2].split(",")])
    os.execv(sys.argv[3], sys.argv[3:])
