"""The model card of each registered version, in its run and in its folder in MLflow, and its short form."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from brats_ml import files, mlflow_pages
from brats_ml.actions.card_sections import LIFECYCLE
from brats_ml.adapters.tracking.ledger import looks
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import reigns
from brats_ml.adapters.tracking.runs import MlflowRun, MlflowTracker
from brats_ml.adapters.tracking.version import Version
from brats_ml.reports.model_card import UNKNOWN, ModelCard, Section, card_html, card_markdown
from brats_ml.workspace.outputs import CardFolder

# The folder of the cards among the artifacts of a run.
CARDS = "model_card"
VERDICT, REASONS = "gate.verdict", "gate.reasons"
# Tags with the number of locked patients that judged a version, and of models that were judged on them before.
PATIENTS, LOOKS = "test.patients", "test.looks"


def publish(registry: Registry, ledger: Path, version: Version, card: ModelCard) -> None:
    """Write the card of a version.

    The card is no part of the files with recorded digests, so it may change while these never do.

    Args:
        registry: The registry of the version.
        ledger: The ledger of promotions and looks.
        version: The version.
        card: What is known since the registration.
    """
    said = str(version)
    whole = card.with_section(_lifecycle(ledger, version))
    tracker = MlflowTracker(registry.uri)
    with tempfile.TemporaryDirectory() as name:
        folder = CardFolder(Path(name) / f"v{version.number}")
        files.write_json(folder.record, card.to_dict())
        folder.markdown.path.write_text(card_markdown(whole, version=said), encoding="utf-8")
        folder.page.path.write_text(card_html(whole, version=said), encoding="utf-8")
        place = f"{CARDS}/{folder.path.name}"
        MlflowRun(tracker.client, version.run_id).log_file(folder.path, place)
        registry.add_files(version, folder.path)
        shown = f"{place}/{folder.page.path.name}"
    page = mlflow_pages.run_link(tracker.experiment_id, version.run_id, artifact=shown)
    registry.describe(
        version.name,
        version.number,
        {
            **{str(title): str(said) for title, said in card.summary},
            "Verdict": _verdict(version.tags),
            "Card": f"[the whole card]({page})",
        },
    )


def refresh(registry: Registry, ledger: Path, name: str, number: int) -> None:
    """Write the card of a version again with the present verdict, looks and promotions; nothing without a card."""
    version = registry.get(name, number)
    record = None if version is None else registry.read_file(version, CardFolder(Path()).record.path.name)
    if version is not None and record is not None:
        publish(registry, ledger, version, ModelCard.from_dict(json.loads(record)))


def refresh_reigns(registry: Registry, ledger: Path, name: str) -> None:
    """Write the cards of the present champion and of the one before it again, after a change of the ledger."""
    for number in {reign.version for reign in reigns(ledger, name)[-2:]} - {None}:
        refresh(registry, ledger, name, int(str(number)))


def _lifecycle(ledger: Path, version: Version) -> Section:
    """Return the section on what happened to a version since its registration."""
    own = [entry for entry in looks(ledger) if entry["model"] == version.name and version.is_named_by(entry)]
    scores = {tag: text for tag, text in sorted(version.tags.items()) if tag.startswith("test.")}
    means = [f"{tag.removeprefix('test.')} {text}" for tag, text in scores.items() if tag not in (PATIENTS, LOOKS)]
    return Section(
        LIFECYCLE,
        "Annex IV, 6",
        [
            ("registered as", f"{version}, run {version.run_id}"),
            ("verdict of the gate", _verdict(version.tags)),
            ("locked patients that judged it", version.tags.get(PATIENTS, _not_judged(version.tags))),
            ("looks at locked patients for this version", str(len(own))),
            ("other models judged on these patients before", version.tags.get(LOOKS, _not_judged(version.tags))),
            ("means on the locked patients", ", ".join(means) or _not_judged(version.tags)),
            ("champion", "; ".join(_times(ledger, version)) or "never, by the ledger"),
        ],
        notes=["Every look at the same locked patients makes their figures a little too good. The ledger counts them."],
    )


def _not_judged(tags: Mapping[str, str]) -> str:
    return UNKNOWN if VERDICT in tags else "not judged yet"


def _verdict(tags: Mapping[str, str]) -> str:
    if VERDICT not in tags:
        return "not judged yet"
    return f"{tags[VERDICT]}: {tags.get(REASONS, UNKNOWN)}"


def _times(ledger: Path, version: Version) -> list[str]:
    named = [reign for reign in reigns(ledger, version.name) if reign.version == version.number]
    return [
        f"since {reign.since}" if reign.until is None else f"from {reign.since} to {reign.until}" for reign in named
    ]
