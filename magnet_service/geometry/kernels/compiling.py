"""How the package's own kernels become machine code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

__all__ = ["compiled", "digest"]

Given = ParamSpec("Given")
Made = TypeVar("Made")


def compiled(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Machine code for this processor, made at the first call; it runs without the interpreter's lock.

    The code is kept on disk beside the module, or in the user's cache folder (`NUMBA_CACHE_DIR` names another), and is
    made anew by each process where neither can be written. Code of other sources is never run: what is kept goes by a
    digest of the whole folder that the function's file is in.

    Arguments:
        function: in the subset of Python that numba compiles; divisions by zero give infinities. Compiled functions
            that it calls are of the same folder.

    Returns:
        The compiled function.

    Raises:
        Nothing.
    """
    plain = inspect.unwrap(function)  # checks of types that a test run wraps around it cannot be compiled
    made = numba.njit(nogil=True, error_model="numpy")(plain)
    with suppress(OSError, RuntimeError):  # no sources to name it by, or no folder to keep it in
        made._cache = Kept(plain)
    return cast("Callable[Given, Made]", made)


def digest(folder: Path) -> str:
    """A name for all sources of a folder and for the compiler.

    Arguments:
        folder: whose Python files are read.

    Returns:
        32 hexadecimal digits.

    Raises:
        OSError: there are no sources, as in a frozen program, or they cannot be read.
    """
    found = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    sources = sorted(folder.glob("*.py"))
    if not sources:
        raise FileNotFoundError(f"no Python files in {folder}")
    for source in sources:
        found.update(hashlib.sha256(source.name.encode()).digest())
        found.update(hashlib.sha256(source.read_bytes()).digest())
    return found.hexdigest()[:32]


class Named(CompileResultCacheImpl):  # type: ignore[misc]  # numba has no types
    """Files whose names change with the sources.

    Numba looks at the file of a function alone, but its machine code has that of the functions it calls in it. A name,
    and not a stamp in the index: between two files written one after another, a stamp may vouch for a stale one.
    """

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        """Numba's name and the digest."""
        base = super().get_filename_base(fullname, abiflags)
        return f"{base}-{digest(Path(self.locator._py_file).parent)}"


class Kept(FunctionCache):  # type: ignore[misc]
    """Machine code on disk, which is done without where it cannot be read or written after all."""

    _impl_class = Named

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code, or None."""
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError):  # a file that a crash cut short ends too early
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code if that can be done: the disk may be full."""
        with suppress(OSError, EOFError):
            super().save_overload(sig, data)
