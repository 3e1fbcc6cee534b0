"""MPEG transport streams: packets without an end marker.

ISO/IEC 13818-1 §2.4.3.2: packets of 188 bytes, each beginning with 0x47. Also with a time code
of four bytes before each packet (M2TS, 192) or sixteen bytes of parity behind it (204).
"""

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import WINDOW_BYTES, ContainerVerdict, Probe

_SYNC = 0x47
_LAYOUTS = ((188, 0), (192, 4), (204, 0))
_PACKETS = 4


def judge(probe: Probe) -> ContainerVerdict | None:
    """Return UNKNOWN for a transport stream; None for anything else."""
    head = probe.peek(0, WINDOW_BYTES)
    for packet, first in _LAYOUTS:
        syncs = head[first::packet][:_PACKETS]
        if len(syncs) == _PACKETS and set(syncs) == {_SYNC}:
            return ContainerVerdict(ContainerState.UNKNOWN, "a transport stream has no end marker")
    return None
