"""Examine one shard of a cohort ahead of the stage, so that several machines share the work."""

from collections.abc import Sequence

from rich.console import Console

from brats_ml.cohort.cases import Case
from brats_ml.config import Params
from brats_ml.dataset.examination import examine_all
from brats_ml.dataset.shard import Shard
from brats_ml.errors import StorageError
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def examine_shard(ws: Workspace, params: Params, shard: Shard, cases: Sequence[Case]) -> Report:
    """Keep the examinations of one shard in the cache. A case that fails is left to the stage, which reports it.

    Args:
        ws: The checkout.
        params: Its parameters.
        shard: The shard.
        cases: All cases of the cohort.
    """
    console, needed = Console(stderr=True), params.needed_modalities
    own = shard.of(cases)
    seen = left = 0
    while seen < len(own):
        # An error ends the iterator at its case; the next one goes on after it.
        try:
            for _ in examine_all(ws.raw.path, own[seen:], params.validate_, cache=ws.state.examinations, needed=needed):
                seen += 1
        except StorageError as error:
            console.print(f"left to the stage: {error}", highlight=False, markup=False, soft_wrap=True)
            seen, left = seen + 1, left + 1
    return shard.report("validate", cases=len(own), done=seen - left)
