"""Compiled kernels of the volume engine."""
