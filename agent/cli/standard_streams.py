"""The three standard streams, which a careless parent may have closed."""

import os
import sys


def open_missing() -> None:
    """Open a closed standard stream on /dev/null.

    Else the next file that is opened gets its number, and what is meant for the terminal is written into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number, this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  for the whole process
