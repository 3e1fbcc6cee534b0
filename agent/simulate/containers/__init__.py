"""The containers that the simulator can write, each laid out as its writers do: valid frames around noise."""

from agent.simulate.containers import isobmff, matroska, mxf, plain, riff
from agent.simulate.recording import ContainerWriter

CONTAINERS: dict[str, ContainerWriter] = (
    plain.CONTAINERS | mxf.CONTAINERS | isobmff.CONTAINERS | matroska.CONTAINERS | riff.CONTAINERS
)

SUFFIXES = {"raw": "bin", "bwf": "wav", "rf64": "wav"}


def suffix(container: str) -> str:
    """The file-name extension of a container: the part before its first dash, with few exceptions."""
    return SUFFIXES.get(container, container.partition("-")[0])
