"""Benchmarks, run by hand: `make bench` and `make bench-growing`."""
