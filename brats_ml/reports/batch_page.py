"""The page of a batch: a table of its cases, worst first, and what the viewer needs to know of each."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.labels import LABELS, REGIONS, UNIONS, VALUES
from brats_ml.reports.panels import COLOURS, NAMES
from brats_ml.reports.templating import render

# The page runs its own scripts, which are files next to it. It sends nothing anywhere.
SCRIPT_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)
# In the order in which they need each other.
SCRIPTS = (
    *("start", "nifti", "volumes", "grid", "table", "parts", "details", "curve", "follow_up"),
    *("viewer", "correction", "keys", "page"),
)
STYLE = "page.css"


@dataclass(frozen=True)
class CaseOnPage:
    """A case of a batch.

    Attributes:
        case_id: Its name, which is not ours.
        key: The name of the folder with its volumes; None if it has no label map.
        folder: The folder of its prediction, relative to the page.
        scans: The modalities that the page has.
        label_map: The SHA-256 of the label map, None without one.
        label_values: The value of each label in the label map.
        note: Why the page shows less than the case has, or nothing.
        preview: The name of the preview picture in `folder`, None without one.
        record: The record of the prediction.
    """

    case_id: str
    key: str | None
    folder: str
    scans: Sequence[str]
    label_map: str | None
    label_values: Mapping[str, int]
    note: str
    preview: str | None
    record: Mapping[str, Any]

    @property
    def score(self) -> float | None:
        """The expected mean Dice, None where it is unknown."""
        value = self._quality.get("score")
        return value if isinstance(value, int | float) else None

    @property
    def review(self) -> bool:
        """Whether a person should look at the case."""
        return bool(self._quality.get("review"))

    @property
    def remarks(self) -> list[str]:
        """The reasons of the QC, and the flags."""
        return [str(text) for text in (*self._quality.get("reasons", ()), *self.record.get("flags", ()))]

    @property
    def rank(self) -> tuple[int, float, int, str]:
        """The place in the table: the worst QC first, then cases without one, most remarks first, then the refused."""
        if self.key is None:
            return 2, 0.0, 0, self.case_id
        if self.score is None:
            return 1, 0.0, -len(self.remarks), self.case_id
        return 0, self.score, -len(self.remarks), self.case_id

    @property
    def preview_address(self) -> str | None:
        """The address of the preview, relative to the page."""
        return None if self.preview is None else quote(f"{self.folder}/{self.preview}")

    @property
    def _quality(self) -> Mapping[str, Any]:
        found = self.record.get("qc")
        return found if isinstance(found, Mapping) else {}

    def volume_ml(self, region: str) -> float | None:
        """Return the volume of a region in millilitres, None where it is unknown."""
        volume = self.record.get("volume_mm3", {}).get(region)
        return None if volume is None else volume / 1000

    def details(self) -> dict[str, Any]:
        """Return what the viewer shows next to the case."""
        record, models = self.record, self.record["provenance"]
        shown = ("case_id", "patient", "status", "reason", "volume_mm3", "survival")
        return {name: record.get(name) for name in shown} | {
            "key": self.key,
            "scans": list(self.scans),
            "label_map_sha256": self.label_map,
            "label_values": dict(self.label_values),
            "note": self.note,
            "preview": self.preview_address,
            "qc": dict(self._quality),
            "remarks": self.remarks,
            "age_years": models.get("age_years"),
            "model": _model(models),
        }


def batch_page(
    cases: Sequence[CaseOnPage],
    *,
    title: str,
    table: str | None,
    run: str | None = None,
    has_viewer: bool,
    modalities: Mapping[str, str],
    patients: Sequence[Mapping[str, Any]] = (),
    alarm: str | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        cases: All cases of the batch, in any order.
        title: The name of the batch.
        table: The address of the table of predictions relative to the page, if there is one.
        run: The address of the batch's run in MLflow, if a server has it.
        has_viewer: Whether the folder of the page has NiiVue.
        modalities: The title of each modality.
        patients: The patients with several time points, as follow_up.json has them.
        alarm: What the last comparison with the training cases says, if it raised an alarm.
    """
    ranked = sorted(cases, key=lambda case: case.rank)
    # Further regions and labels only where a case has them.
    found = {name for case in cases for name in (*case.label_values, *case.record.get("volume_mm3", {}))}
    regions = {name: of for name, of in UNIONS.items() if name in REGIONS or name in found}
    labels = [label for label in VALUES if label in LABELS or label in found]
    colours, names = ({label: of[label] for label in labels} for of in (COLOURS, NAMES))
    named = {
        "colours": colours,
        "names": names,
        "regions": {name: [label for label in of if label in labels] for name, of in regions.items()},
    }
    return render(
        "batch.html",
        script_policy=SCRIPT_POLICY,
        title=title,
        cases=ranked,
        table=table,
        run=run,
        has_viewer=has_viewer,
        modalities=modalities,
        regions=regions,
        colours=colours,
        names=names,
        scripts=SCRIPTS,
        style=STYLE,
        alarm=alarm,
        details=script_json(_known(ranked, modalities, patients) | named),
        turns=dict(turn for patient in patients for turn in _turns(patient)),
    )


def _known(
    cases: Sequence[CaseOnPage], modalities: Mapping[str, str], patients: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the scripts of the page know, apart from regions and labels."""
    return {
        "cases": [case.details() for case in cases],
        "groups": GROUPS,
        "modalities": dict(modalities),
        "patients": {patient["patient"]: patient for patient in patients},
    }


def _turns(patient: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each case of a patient, and which time point it is."""
    points = patient["time_points"]
    for number, point in enumerate(points, start=1):
        yield point["case_id"], f"time point {number} of {len(points)}"


def script_json(value: Any) -> Markup:
    """Return JSON that may be within an element `script`: no character of it begins a tag or a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))  # noqa: S704 - escaped


def volume_script(key: str, name: str, volume: bytes, *, start: Sequence[int] = ()) -> str:
    """Return a script that hands a volume to the page, since a browser reads no other file of a disk.

    Args:
        key: The key of its case.
        name: `labels`, or a modality.
        volume: A compressed NIfTI file.
        start: Where it starts in the label map's grid, in voxels, if it is a part of it.
    """
    return f'brats.receive("{key}", "{name}", "{b64encode(volume).decode()}", {list(start)});\n'


def _model(models: Mapping[str, Any]) -> str:
    """Return the name and version of the segmentation model."""
    model = models.get("segmentation") or {}
    return f"{model.get('name', 'unknown')} v{model.get('version', '?')}"
