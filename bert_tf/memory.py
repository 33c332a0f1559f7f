"""How the process gets its memory from the system."""

import ctypes
import os

# The parameters of glibc's mallopt, see its manual page.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 2**25  # Bytes; glibc allows no more.
KEPT = 2**29  # Bytes.


def keep_freed_memory() -> None:
    """Lets the process keep memory that it has freed.

    TensorFlow's matrix products need some megabytes each. By default glibc
    gives such blocks back to the system at once, and the system clears them
    before it hands them out again. That takes a twentieth of the time of a
    training step. Nothing is done where another C library runs, or where one
    of the environment variables MALLOC_… or GLIBC_TUNABLES says how memory is
    kept.
    """
    is_chosen = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if is_chosen or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        # Another library, or one under glibc's name without the function.
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, KEPT)
