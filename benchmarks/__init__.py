"""Benchmarks: each checks its answer before it times it, and times its rivals in the same run."""
