"""Rows of a bank computed in other processes: local ones, or Ray actors."""
