"""Sampling where resampling dies: a surrogate of the log-volume screens latents, exact volumes correct it."""
