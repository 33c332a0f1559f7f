"""How the process gets its memory from the system."""

import ctypes
import os

# The parameters of glibc's mallopt, see its manual page.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 2**25  # Bytes; glibc allows no more.
KEPT = 2**29  # Bytes.
MADV_DONTNEED = 4  # Of Linux, see madvise(2).


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


def release_file_pages(path: str) -> None:
    """Gives the memory of a mapped file back to the system.

    The next read of a page takes it from the file again. An interpreter of
    LiteRT maps its file and copies most weights out of it when it starts: the
    pages that were read for that are not needed again. Only Linux has the
    list of mappings; elsewhere nothing is done.
    """
    path = os.path.realpath(path)
    try:
        with open("/proc/self/maps", encoding="utf-8") as reader:
            mappings = [line.split(maxsplit=5) for line in reader]
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return
    for addresses, permissions, *_, name in (m for m in mappings if len(m) > 5):
        # A page that may be written could hold what is not in the file.
        if name.rstrip("\n") == path and "w" not in permissions:
            start, end = (int(part, 16) for part in addresses.split("-"))
            size = ctypes.c_size_t(end - start)
            madvise(ctypes.c_void_p(start), size, MADV_DONTNEED)
