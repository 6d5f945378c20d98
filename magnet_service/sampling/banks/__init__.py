"""Stored latents with their volumes: what a bank is, where it lies, how it grows and how it is read."""
