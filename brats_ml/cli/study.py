"""The commands of a study: from the scanner to a case, and its results back to the scanner's space."""

from pathlib import Path
from typing import Annotated

import typer

from brats_ml.cli import checks
from brats_ml.cli.running import HERE, Json, Root, run, run_for_json
from brats_ml.cohort.modalities import MODALITIES, Modality
from brats_ml.errors import ConfigError

app = typer.Typer(name="study", no_args_is_help=True)

Study = Annotated[Path, typer.Argument(help="Folder of the study.")]


@app.callback()
def study() -> None:
    """Bring a study from the scanner to a case, and its results back."""


@app.command()
def convert(
    study: Study,
    root: Root = HERE,
    *,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder or archive to copy the study from.", show_default=False)
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(help="Series of a modality, such as t1ce=7; may be given again.", show_default=False),
    ] = None,
) -> None:
    """Convert the series of a study to one volume per modality, and say what each series is."""
    run("actions.study_convert", root, checks.nothing, study=study, source=source, stated=_stated(series or []))


def _stated(texts: list[str]) -> dict[Modality, int]:
    found: dict[Modality, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        modality = next((one for one in MODALITIES if one == name), None)
        if modality is None or not number.isdecimal():
            raise ConfigError(f"--series {text} is not MODALITY=NUMBER, such as t1ce=7", key="--series")
        found[modality] = int(number)
    return found


@app.command()
def prepare(study: Study, root: Root = HERE) -> None:
    """Register the volumes of a study to the atlas, resample them to 1 mm, and remove the skull."""
    run("actions.study_prepare", root, checks.nothing, study=study)


@app.command()
def restore(study: Study, root: Root = HERE) -> None:
    """Bring the predicted label map back to the grid of each series, and measure it there."""
    run("actions.study_restore", root, checks.nothing, study=study)


@app.command()
def export(study: Study, root: Root = HERE) -> None:
    """Write the prediction of a study as DICOM: a segmentation, a structured report and a picture."""
    run("actions.study_export", root, checks.nothing, study=study)


@app.command()
def find(root: Root = HERE, as_json: Json = False) -> None:
    """Find the studies of the node that are complete and have no result yet."""
    (run_for_json if as_json else run)("actions.study_find", root, checks.nothing)


@app.command()
def receive(study: Study, root: Root = HERE) -> None:
    """Download a study that `brats study find` has named from the node."""
    run("actions.study_receive", root, checks.nothing, study=study)


@app.command()
def score(study: Study, root: Root = HERE) -> None:
    """Score the prepared case of a study by the champions."""
    run("actions.study_score", root, checks.nothing, study=study)


@app.command()
def send(study: Study, root: Root = HERE) -> None:
    """Store the exported objects of a study on the node, each of them once."""
    run("actions.study_send", root, checks.nothing, study=study)


@app.command()
def take(study: Study, root: Root = HERE) -> None:
    """Take a study of the node the whole way; one that was interrupted goes on."""
    run("actions.study_take", root, checks.nothing, study=study)
