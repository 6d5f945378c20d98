"""Generated messages and services of `magnet.v1`; written by `python tools/stubs.py`."""
