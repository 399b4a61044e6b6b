"""Benchmarks: what docs/benchmarks.md shows, measured on real processes. Run by `make bench`."""
