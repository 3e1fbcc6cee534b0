"""The containers the simulator can write, each in the way of its writers: valid frames around noise."""

from agent.simulate.containers import isobmff, matroska, mxf, plain, riff
from agent.simulate.recording import ContainerWriter

FORMS: dict[str, ContainerWriter] = plain.FORMS | mxf.FORMS | isobmff.FORMS | matroska.FORMS | riff.FORMS

SUFFIXES = {"raw": "bin", "bwf": "wav", "rf64": "wav"}


def suffix(form: str) -> str:
    """The file-name extension of a form: what stands before its first dash, with few exceptions."""
    return SUFFIXES.get(form, form.partition("-")[0])
