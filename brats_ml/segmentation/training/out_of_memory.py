"""Turn a backend's out-of-memory error into one sentence with advice."""

import contextlib
from collections.abc import Iterator, Sequence

from brats_ml.errors import CapacityError

# Texts by which the backends report a failed allocation.
SIGNS = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "Out of memory")


@contextlib.contextmanager
def out_of_memory_explained(patch: Sequence[int], batch: int) -> Iterator[None]:
    """Turn an out-of-memory error into a `CapacityError` that says what to reduce.

    Raises:
        CapacityError: The backend ran out of memory inside.
    """
    try:
        yield
    except Exception as error:  # the backends share no error class, so the text decides
        if isinstance(error, CapacityError) or not is_out_of_memory(error):
            raise
        size = "x".join(map(str, patch))
        raise CapacityError(
            f"{batch} patch(es) of {size} per step do not fit in memory: reduce the recipe's patch or batch, set "
            "train.precision=bfloat16 on a GPU, or reduce plan.memory_share and run `brats plan` again"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory is short, by its class or by a backend's text."""
    return isinstance(error, MemoryError) or any(text in f"{type(error).__name__} {error}" for text in SIGNS)
