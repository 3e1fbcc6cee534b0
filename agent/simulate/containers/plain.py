"""Files without a structure, and transport streams, which have packets but no end mark."""

from agent.simulate.content import PACKET_BYTES, Content, Noise, Packets
from agent.simulate.recording import ContainerWriter, Recording, RecordingSpec


def raw(spec: RecordingSpec) -> Recording:
    """Noise without a container."""
    return Recording(Content((Noise(spec.seed, 0, spec.size_bytes),)))


def transport_stream(spec: RecordingSpec) -> Recording:
    """Whole packets of 188 bytes (ISO/IEC 13818-1 §2.4.3.2), as many as fit; nothing is rewritten."""
    count = spec.media_bytes(0) // PACKET_BYTES
    return Recording(Content((Packets(spec.seed, 0, count * PACKET_BYTES),)))


CONTAINERS: dict[str, ContainerWriter] = {"raw": raw, "ts": transport_stream}
