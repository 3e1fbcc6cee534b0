"""Copying: read, write, read back, publish; the tail of a growing file; many small files at once."""
