"""Linux capabilities that a process may use, but does not have yet: those of its program file, capset(2)."""

import ctypes
from contextlib import suppress

from agent.fs.syscalls import c_function

CAP_LEASE = 28  # linux/capability.h

_VERSION_3 = 0x20080522  # two words for each set


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Word(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


_capget = c_function("capget", ctypes.POINTER(_Header), ctypes.POINTER(_Word))
_capset = c_function("capset", ctypes.POINTER(_Header), ctypes.POINTER(_Word))


def use(capability: int) -> None:
    """Make a permitted capability effective, for this thread and those that it starts; others change nothing.

    A container's user gets capabilities in this way only: `setcap cap_lease=p` on the program. With
    `cap_lease=ep` the program would not start where the container was not given the capability.
    """
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()
    with suppress(OSError):
        _capget(ctypes.byref(header), words)
        word, bit = words[capability // 32], 1 << capability % 32
        word.effective |= word.permitted & bit
        _capset(ctypes.byref(header), words)
