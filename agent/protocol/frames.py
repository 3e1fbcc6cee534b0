"""The frames on the pipes between the agent and a worker: a 4-byte big-endian length, then a pickle.

The pickle is trusted: both ends are ours.
"""

import pickle
import struct
from typing import BinaryIO

HEADER = struct.Struct(">I")


def read_frame(stream: BinaryIO) -> object | None:
    """The next frame's object, None at the end of the stream, even in the middle of a frame."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    body = stream.read(length)
    if len(body) < length:
        return None
    value: object = pickle.loads(body)  # noqa: S301  our own parent wrote it
    return value


def frame(value: object) -> bytes:
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body
