"""Memory that does not suffice, told as one sentence with advice."""

import contextlib
from collections.abc import Iterator, Sequence

from brats_ml.errors import CapacityError

# What the backends write into the errors of an allocation that failed.
SIGNS = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "Out of memory")


@contextlib.contextmanager
def out_of_memory_explained(patch: Sequence[int], batch: int) -> Iterator[None]:
    """Turn a backend's failed allocation into a `CapacityError` that says what to make smaller.

    Raises:
        CapacityError: The backend ran out of memory inside.
    """
    try:
        yield
    except Exception as error:  # the backends share no class of error, so their words decide
        if isinstance(error, CapacityError) or not _is_allocation(error):
            raise
        size = "x".join(map(str, patch))
        raise CapacityError(
            f"memory does not suffice for {batch} patch(es) of {size} a step: lower the recipe's patch or batch, set "
            "train.precision=bfloat16 on a GPU, or lower plan.memory_share and plan again"
        ) from error


def _is_allocation(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(sign in f"{type(error).__name__} {error}" for sign in SIGNS)
