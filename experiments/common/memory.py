# SPDX-License-Identifier: Apache-2.0
"""What becomes of the memory that a step of training has used."""

import ctypes
import sys

# Of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1


def keep_freed() -> bool:
    """Lets the C library keep freed memory for the next step, where it is glibc.

    Else a step's larger arrays go back to the system after it, and each page of theirs is new, and
    cleared by the system, in the next step.

    Returns:
      Whether the library took the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_TRIM_THRESHOLD, _LARGEST), (_MMAP_MAX, 0))
    return all(library.mallopt(name, value) == 1 for name, value in settings)
