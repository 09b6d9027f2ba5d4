"""What the approval page says of a model that passed the gate: its recipe, its patients, its pictures, its pages."""

from urllib.parse import urlencode

from brats_ml import files
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.adapters.tracking.version import Version
from brats_ml.redaction import redacted
from brats_ml.reports.verdict import Candidate, Picture
from brats_ml.workspace import Workspace

RANKS = ("best", "median", "worst")
# Where `brats publish` logs the pictures of an evaluation.
FIGURES = "evaluation/validation/figures/planes"


def candidate_page(ws: Workspace, registry: Registry, version: Version, kind: str, chosen: str) -> Candidate:
    """Return what the page says of a version.

    Args:
        ws: The checkout.
        registry: Where the version is.
        version: The candidate.
        kind: `segmentation` or `survival`.
        chosen: Its recipe or its estimator.
    """
    tracker = MlflowTracker(registry.uri)
    run, card = tracker.page(version.run_id), registry.card(version)
    links = {"MLflow run": run, "model card": card}
    preset = version.tags.get("preset", "none")
    preset_of = f", preset {preset}" if preset != "none" else ""
    return Candidate(
        made_by=f"recipe {chosen}{preset_of}" if kind == "segmentation" else f"estimator {chosen}",
        learnt_from=_learnt_from(ws, version, kind, chosen),
        links={title: address for title, address in links.items() if address},
        pictures=_pictures(ws, tracker, version, chosen) if kind == "segmentation" and run else (),
    )


def _learnt_from(ws: Workspace, version: Version, kind: str, chosen: str) -> str:
    patients = "synthetic patients" if version.synthetic else "real patients"
    if kind == "survival":
        trained = files.read_json(ws.survival(chosen).summary)["training_patients"]
        said = f"trained on {len(trained)} {patients}"
    else:
        cases = files.read_json(ws.model(chosen).verdict).get("cases", {})
        counts = ", ".join(f"{part} {len(cases[part])}" for part in ("train", "validation", "test") if part in cases)
        said = f"trained on {patients}" + (f"; cases: {counts}" if counts else "")
    source = redacted(str(files.read_json(ws.listing)["source"])) if ws.listing.path.exists() else ""
    digest = version.tags.get("data", "")[:12]
    return said + (f"; source `{source}`" if source else "") + (f", data `{digest}`" if digest else "")


def _pictures(ws: Workspace, tracker: MlflowTracker, version: Version, recipe: str) -> list[Picture]:
    folder = ws.evaluation("validation", recipe)
    found = []
    for rank in RANKS:
        for case_id, path in folder.ranked_planes(rank).items():
            name = f"{FIGURES}/{path.name}"
            image = f"{tracker.uri}/get-artifact?{urlencode({'path': name, 'run_uuid': version.run_id})}"
            page = tracker.page(version.run_id, artifact=name)
            if page:
                found.append(Picture(rank, case_id, page, image))
    return found
