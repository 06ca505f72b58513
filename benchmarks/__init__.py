"""Benchmarks of speed and memory on this machine, run with `scripts/bench KIND`."""
