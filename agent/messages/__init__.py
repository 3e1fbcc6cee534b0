"""Messages between actors, one file per receiver. No behaviour.

`*_s` is a time on a monotonic clock, `*_at` is wall time in seconds since the epoch. Paths are relative to
the route's source, separated by "/", with undecodable bytes as surrogates (PEP 383).
"""
