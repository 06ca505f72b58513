"""Fuzzing: damaged and invalid inputs of every kind, checked in a child process with limits.

The promise that is tested: an input gives one of masklet's errors with a code, or a right result. It never gives
another exception, a hang, unbounded memory, or a wrong result without an error. `scripts/fuzz` runs it.
"""
