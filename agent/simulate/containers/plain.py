"""Files without a structure, and transport streams, which have one but no end."""

from agent.simulate.content import PACKET_BYTES, Content, Noise, Packets
from agent.simulate.recording import ContainerWriter, Material, Recording


def raw(material: Material) -> Recording:
    """Noise, nothing else."""
    return Recording(Content((Noise(material.seed, 0, material.size_bytes),)))


def transport_stream(material: Material) -> Recording:
    """Whole packets of 188 bytes (ISO/IEC 13818-1 §2.4.3.2), as many as fit; nothing is rewritten."""
    count = material.room(0) // PACKET_BYTES
    return Recording(Content((Packets(material.seed, 0, count * PACKET_BYTES),)))


FORMS: dict[str, ContainerWriter] = {"raw": raw, "ts": transport_stream}
