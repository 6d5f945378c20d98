"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Before torch is imported, by this process and by those that it starts: several of them run side by side, and threads
# of OpenMP that wait for one another on cores that others use take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Cases follow from the test alone, and a busy machine is no failure.
settings.register_profile("seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seeded")
