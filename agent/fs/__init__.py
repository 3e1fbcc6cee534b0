"""Blocking file system calls; they run in worker processes, because a hung mount blocks them for ever."""
