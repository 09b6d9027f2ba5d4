"""The commands of a study: from the scanner to a case, and its results back to the scanner's space."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="study", no_args_is_help=True)

Study = Annotated[Path, typer.Argument(help="Folder of the study.")]


@app.callback()
def study() -> None:
    """Bring a study from the scanner to a case, and its results back."""
