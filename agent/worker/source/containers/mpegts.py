"""MPEG transport streams: packets to the end, and nothing that says it is the end.

ISO/IEC 13818-1 §2.4.3.2: packets of 188 bytes, each beginning with 0x47. Also with four bytes of time code
before each (M2TS, 192) or sixteen of parity behind (204).
"""

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import WINDOW_BYTES, ContainerVerdict, Probe

_SYNC = 0x47
_LAYOUTS = ((188, 0), (192, 4), (204, 0))
_PACKETS = 4


def judge(probe: Probe) -> ContainerVerdict | None:
    """UNKNOWN for a transport stream, whatever its end; None for anything else."""
    head = probe.peek(0, WINDOW_BYTES)
    for packet, first in _LAYOUTS:
        syncs = head[first::packet][:_PACKETS]
        if len(syncs) == _PACKETS and set(syncs) == {_SYNC}:
            return ContainerVerdict(
                ContainerState.UNKNOWN, "a transport stream never says that it is finished"
            )
    return None
