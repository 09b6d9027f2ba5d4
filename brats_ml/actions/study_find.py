"""Find the studies of a node that are complete and have no result yet, and give each a folder with a pseudonym."""

import time
from typing import Any

from brats_ml import files, locks
from brats_ml.adapters.dicom.key import pseudonym_key
from brats_ml.adapters.dicom.node import DicomNode, RemoteStudy
from brats_ml.cohort.pseudonym import pseudonym
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace

PRIVATE = 0o600


def run(ws: Workspace, params: Params, *, now: float | None = None) -> Report:
    """Look at the node once; a study is complete if its number of images has not changed for a while.

    Args:
        ws: The checkout.
        params: Its parameters.
        now: The time in seconds; that of the clock by default.

    Raises:
        ConfigError: There is no key, or no address of a node.
        ServiceError: The node does not answer, or refuses.
    """
    key, node, studies = pseudonym_key(ws.root), DicomNode(params.study.node), ws.state.studies
    with locks.exclusive(studies.lock, holder="another process, which looks for studies"):
        seen = files.read_json(studies.seen) if studies.seen.path.exists() else {}
        found = {pseudonym(one.uid, key, kind="study"): one for one in node.studies()}
        moment = time.time() if now is None else now
        seen = {name: _observed(seen.get(name), one, moment) for name, one in found.items()}
        files.write_json(studies.seen, seen)
        ready = [
            name
            for name, one in found.items()
            if moment - seen[name]["since"] >= params.study.node.stable_seconds and not studies.study(name).is_done
        ]
        for name in ready:
            identity = studies.study(name).identity
            if not identity.path.exists():
                files.write_json(identity, {"study_uid": found[name].uid}, mode=PRIVATE)
    waiting = sum(not studies.study(name).is_done for name in found) - len(ready)
    said = f"{len(found)} on the node, {len(ready)} complete without results, {waiting} still growing"
    return Report("study find", said, details={"studies": sorted(ready)})


def _observed(before: dict[str, Any] | None, study: RemoteStudy, now: float) -> dict[str, Any]:
    """Return the number of images of a study, and since when it has had so many."""
    if before is not None and before["instances"] == study.instances:
        return before
    return {"instances": study.instances, "since": now}
