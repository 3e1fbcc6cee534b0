"""Judge by a file's container structure whether the file is complete; the file name is not used.

CLOSED is necessary but not sufficient, because a hole in the middle does not show in the structure. It is
one condition among several (promise S4). OPEN and TRUNCATED hold a file back for as long as they last, so
they require a structure that no finished file has. Everything ambiguous is UNKNOWN.

- CLOSED: the structure is complete and ends where the file ends.
- OPEN: a field still has the placeholder that recorders replace when they close the file.
- TRUNCATED: the structure refers to bytes behind the end of the file.
- UNKNOWN: an unknown container, one without an end marker, or an ambiguous structure.
"""

from agent.model.source_file import ContainerState
from agent.worker.source.containers import isobmff, matroska, mpegts, mxf, riff
from agent.worker.source.containers.probe import ByteReader, ContainerVerdict, Probe, TooManyReads

__all__ = ["ByteReader", "ContainerVerdict", "judge"]

# MXF comes last: its run-in is searched for in 64 KiB, all others show in the first kilobyte.
_FORMATS = (isobmff.judge, riff.judge, matroska.judge, mpegts.judge, mxf.judge)


def judge(reader: ByteReader) -> ContainerVerdict:
    """Judge the file by a few small reads: at most 512 reads and 2.6 MiB, whatever the content.

    Raises:
        OSError: `reader` raised it; no content does.
    """
    probe = Probe(reader)
    try:
        for judge_format in _FORMATS:
            if verdict := judge_format(probe):
                return verdict
    except TooManyReads:
        return ContainerVerdict(ContainerState.UNKNOWN, "too many parts to read them all")
    return ContainerVerdict(ContainerState.UNKNOWN, "not a known container")
