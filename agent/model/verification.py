"""How a copy is verified: in which blocks, and to which level."""

from typing import Literal

BLOCK_BYTES = 1024 * 1024  # one digest a block; also what a growing file is patched by
DIGEST_BYTES = 16  # xxh3_128

VerifyLevel = Literal["read_back", "read_back_cached", "hash", "size"]
