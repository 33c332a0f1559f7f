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
    before it hands them out again: for a twentieth of the time of a training
    step. Where another C library runs nothing is done, and where one of the
    environment variables MALLOC_… says how memory is kept.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    library.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    library.mallopt(M_TRIM_THRESHOLD, KEPT)
