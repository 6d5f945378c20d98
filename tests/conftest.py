"""What all tests share."""

from __future__ import annotations

import os

# Before torch is imported, by this process and by those that it starts: several of them run side by side, and threads
# of OpenMP that wait for one another on cores that others use take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
