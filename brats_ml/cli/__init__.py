"""The command `brats`: one sub-command per stage and per action. Heavy modules are imported inside the command."""

import signal
import sys
from typing import Annotated

import typer

from brats_ml import environment, privacy
from brats_ml.cli import actions, overview, runs, servers, stages, study
from brats_ml.cli.start_up import QuietImport
from brats_ml.cli.usage import Commands, usage_sentence
from brats_ml.cli.version import version
from brats_ml.orchestration.runs import outcomes

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)
for _room in (stages, actions, overview, runs, servers):
    app.add_typer(_room.app)
app.add_typer(study.app, rich_help_panel="From the scanner and back")


@app.callback(invoke_without_command=True)
def brats(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and, in a checkout, its commit.")
    ] = False,
) -> None:
    """Run one stage of dvc.yaml, or act on its results: publish, judge, promote and score."""
    if show_version:
        print(version())
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run a command. An expected error prints one sentence on stderr and exits with status 1, wrong usage with 2."""
    environment.set_defaults()
    environment.separate_credentials()
    sys.meta_path.insert(0, QuietImport())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if environment.HOLDER.read():
        from brats_ml.orchestration.runs import watchdog

        watchdog.watch()
    try:
        privacy.apply_umask()
        status = app(prog_name="brats", standalone_mode=False)
    except typer.TyperException as error:
        sentence = usage_sentence(error)
        outcomes.write(outcomes.Outcome(sentence, error="UsageError"))
        print(f"brats: {sentence}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:  # `message` keeps the traceback of a defect
        outcomes.write(outcomes.failure(error))
        sys.stderr.write(outcomes.message(error))
        sys.exit(1)
    sys.exit(status or 0)
