"""Compiled loops over the weights of a bank's rows."""
