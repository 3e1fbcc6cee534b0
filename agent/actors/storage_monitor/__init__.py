"""The storage monitor of one destination."""
