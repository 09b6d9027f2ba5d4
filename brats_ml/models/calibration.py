"""The calibration of a registered model: what its training left in qc.json to judge its predictions by."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from brats_ml import files
from brats_ml.config.quality import Quality
from brats_ml.config.section import Section
from brats_ml.errors import ModelError
from brats_ml.imaging.quality.familiarity import Cohort
from brats_ml.workspace.outputs import ModelFolder

Positive = Annotated[float, Field(gt=0)]


class Calibration(Section):
    """The contents of qc.json.

    Attributes:
        settings: The section `qc` of the parameters.
        part: The held-out cases behind it, `out_of_fold` or `validation`.
        cases: Their number.
        temperatures: The temperature of each region.
        decay: How fast the score falls with the risk of a prediction.
        fitted: Whether that was fitted to the held-out cases.
        widths_mm: The half width of each region's interval, None with too few cases.
        covered_by_release: The share of the held-out cases of each release, and of all, with their true volumes in
            intervals by the others.
        cohort: The training cases, None with fewer than three.
    """

    settings: Quality
    part: str
    cases: int
    temperatures: dict[str, Positive]
    decay: Positive
    fitted: bool
    widths_mm: dict[str, float | None]
    covered_by_release: dict[str, dict[str, Any]]
    cohort: Cohort | None


def read_calibration(folder: ModelFolder) -> Calibration | None:
    """Return the calibration of a registered model, None for one without it.

    Raises:
        ModelError: qc.json does not fit this version.
    """
    if not folder.quality.path.exists():
        return None
    try:
        return Calibration.model_validate(files.read_json(folder.quality))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise ModelError(f"{folder.quality} does not fit this version ({place}): publish the model again") from error
