"""Functions that are turned into machine code: loops over bytes that numpy has no words for."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Have *function* compiled at its first call, kept on disk, and run without the GIL."""
    return cast(Function, numba.njit(nogil=True, cache=True)(function))
