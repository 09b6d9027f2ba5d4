"""What the approval page says of a model that passed the gate: its recipe, its patients, its pictures, its pages."""

from brats_ml import files
from brats_ml.actions.publish_pipeline import FIGURES
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.adapters.tracking.version import Version
from brats_ml.redaction import redacted
from brats_ml.reports.verdict import Candidate, Picture
from brats_ml.untrusted_text import in_markdown
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import NOTABLE_RANKS


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
    return (
        said
        + (f"; source {in_markdown(source)}" if source else "")
        + (f", data {in_markdown(digest)}" if digest else "")
    )


def _pictures(ws: Workspace, tracker: MlflowTracker, version: Version, recipe: str) -> list[Picture]:
    folder = ws.evaluation("validation", recipe)
    found = []
    for rank in NOTABLE_RANKS:
        for case_id, path in folder.ranked_planes(rank).items():
            name = f"{FIGURES}/{path.relative_to(folder.figures.path).as_posix()}"
            page, image = tracker.page(version.run_id, artifact=name), tracker.file(version.run_id, name)
            if page and image:
                found.append(Picture(rank, case_id, page, image))
    return found
