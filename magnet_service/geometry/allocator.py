"""The C library's allocator told to keep freed memory for the next tile."""

from __future__ import annotations

import ctypes
import functools

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's parameters, from malloc.h."""

KEPT_BYTES = 1 << 29
LARGEST_IN_HEAP = 32 << 20
"""The most that glibc accepts: half of a thread's heap."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let glibc keep up to 512 MiB of freed memory a heap, once for the process.

    Otherwise every thread gives a tile's tangents back to the system and takes them again, page by page, for the next
    one: a fifth of the time on small generators with two threads.

    Returns:
        Whether the parameters were taken; False where the C library is not glibc.

    Raises:
        Nothing.

    Accuracy: no byte of a result depends on it.
    """
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)) and bool(
            library.mallopt(MMAP_THRESHOLD, LARGEST_IN_HEAP)
        )
    except (OSError, AttributeError, TypeError):
        return False
