"""What a file's own structure says about its end, judged by content and never by name.

A verdict is necessary, never sufficient: a hole in the middle shows nowhere in the structure, so CLOSED is
one proof among several (promise S4). OPEN and TRUNCATED are said only of what no finished file looks like,
because they hold a file back for as long as it stays so; whatever may be either is UNKNOWN.

- CLOSED: the structure is whole and ends where the file ends.
- OPEN: a recorder's placeholder still stands where closing writes the final value.
- TRUNCATED: the structure names bytes that are not there.
- UNKNOWN: no container known here, one that never says so, or a structure that allows both readings.
"""

from agent.model.source_file import ContainerState
from agent.worker.source.containers import isobmff, matroska, mpegts, mxf, riff
from agent.worker.source.containers.probe import ByteReader, ContainerVerdict, Probe, TooManyReads

__all__ = ["ByteReader", "ContainerVerdict", "judge"]

# MXF comes last: its run-in is searched for in 64 KiB, every other kind shows in the first kilobyte.
_KINDS = (isobmff.judge, riff.judge, matroska.judge, mpegts.judge, mxf.judge)


def judge(reader: ByteReader) -> ContainerVerdict:
    """Say how the file ends, from a few small reads (at most 512, and 2.6 MiB, whatever the input is).

    Raises:
        OSError: only what `reader` itself raises; no content does.
    """
    probe = Probe(reader)
    try:
        for kind in _KINDS:
            if verdict := kind(probe):
                return verdict
    except TooManyReads:
        return ContainerVerdict(ContainerState.UNKNOWN, "too many parts to look at them all")
    return ContainerVerdict(ContainerState.UNKNOWN, "not a container known here")
