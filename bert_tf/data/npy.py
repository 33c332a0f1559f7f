"""NumPy's .npy files of vectors, which are written row by row.

`numpy.load(path, mmap_mode="r")` reads them.
"""

from typing import IO

import numpy as np
from numpy.typing import NDArray


def write_header(writer: IO[bytes], shape: tuple[int, ...]) -> None:
    """Writes the start of a file, for float32 of a shape in rows."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(writer, header)


def as_row(vector: NDArray[np.floating]) -> bytes:
    """A vector as a row of the file."""
    return vector.astype("<f4").tobytes()
