"""Compiled kernels on a planar subdivision: signs, crossings, chords, their arrangement in each tile."""
