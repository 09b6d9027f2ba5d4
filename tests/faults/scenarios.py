"""Commands that change the world, each with the checkout it starts from. All checkouts are made once, from phantoms."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brats_ml import files
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Prepared, Run
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import State
from tests.actions.test_from_publish_to_champion import train_again, write_results
from tests.faults.zygote import Command, brats, run

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "phantom.cases=6", "phantom.shape=[32, 32, 32]", "train.recipes=[baseline_mini]", "survival.estimators=[cox]",
    "evaluate.runtime=keras", "gate.segmentation.level=0.1", "gate.survival.level=0.1",
    "gate.synthetic.segmentation={minimum_cases: 1, minimum_dice: {WT: 0.0, TC: 0.0, ET: 0.0}}",
    "gate.synthetic.survival.minimum_cases=1",
]  # fmt: skip
PIPELINE = "stages:\n  copy: {cmd: cp in out, deps: [in], outs: [out]}\n"


@dataclass(frozen=True)
class Scenario:
    """A command under test.

    Attributes:
        name: Its name in tables.
        start: Name of the checkout that it starts from.
        command: Makes the command for a checkout.
        before: What a person or a scheduler does first after a fault; by default only the command again.
    """

    name: str
    start: str
    command: Callable[[Path], Command]
    before: Callable[[Path], Command] | None = None


def of_brats(name: str, start: str, *arguments: str) -> Scenario:
    """Return a scenario of a command line."""
    return Scenario(name, start, lambda root: brats(*arguments, "--root", str(root)))


SCENARIOS = [
    of_brats("publish", "evaluated", "publish"),
    of_brats("publish again", "retrained", "publish"),
    of_brats("gate", "published", "gate"),
    of_brats("gate again", "republished", "gate"),
    of_brats("promote", "judged", "promote"),
    of_brats("promote again", "rejudged", "promote"),
    of_brats("score", "promoted", "score"),
    of_brats("score again", "repromoted", "score"),
    of_brats("set", "promoted", "set", "train.seed=7"),
    of_brats("split", "acquired", "split"),
    of_brats("preprocess", "acquired", "preprocess"),
    Scenario("open", "repository", lambda root: _of_run(root, _pinned)),
    Scenario("close", "pinned", lambda root: _of_run(root, Run.close), lambda root: _of_run(root, _opened)),
]


class Checkouts:
    """The checkouts that scenarios start from, made on demand; a trial works at one path, since MLflow keeps paths."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder, which must be empty."""
        self.root, self._kept = folder / "checkout", folder / "kept"
        self._kept.mkdir(parents=True)

    def restore(self, name: str) -> Workspace:
        """Return a copy of a checkout."""
        kept = self._kept / name
        if not kept.exists():
            before, *steps = CHECKOUTS[name]
            if before is None:
                _remove(self.root)
            else:
                self.restore(before)
            for step in steps:
                ended = run(step(self.root))
                if ended.status:
                    raise RuntimeError(f"the checkout {name} cannot be made: {ended.said}")
            shutil.copytree(self.root, kept, symlinks=True)
        _remove(self.root)
        shutil.copytree(kept, self.root, symlinks=True)
        return Workspace(self.root)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _cohort(root: Path) -> Command:
    def command() -> None:
        root.mkdir(parents=True)
        shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
        override(root / "params.yaml", SETTINGS)
        from brats_ml.actions import sample_inbox
        from brats_ml.stages import acquire, source

        ws, params = Workspace(root), load(root / "params.yaml")
        source.run(ws, params)
        acquire.run(ws, params)
        sample_inbox.run(ws, params, cases=2)

    return command


def _results(root: Path) -> Command:
    def command() -> None:
        ws = Workspace(root)
        made = Workspace(root / "made")
        write_results(made, ws.raw.path)
        for folder in ("models", "metrics", "evaluation", "reports", "data/preprocessed", "data/validation"):
            if (made.root / folder).exists():
                (ws.root / folder).parent.mkdir(parents=True, exist_ok=True)
                (made.root / folder).rename(ws.root / folder)
        shutil.rmtree(made.root)

    return command


def _retrained(root: Path) -> Command:
    return lambda: train_again(Workspace(root), dice=0.95)


def _accepted(root: Path) -> Command:
    """Let the second segmentation model through, whatever the gate says of it; the decision keeps its form."""

    def command() -> None:
        ws = Workspace(root)
        decision = files.read_sealed(ws.decision("segmentation"))
        files.write_sealed(ws.decision("segmentation"), decision | {"verdict": "PROMOTE"})

    return command


def _without_predictions(root: Path) -> Command:
    return lambda: shutil.rmtree(Workspace(root).predictions().path)


def _by(*arguments: str) -> Callable[[Path], Command]:
    return lambda root: brats(*arguments, "--root", str(root))


def _repository(root: Path) -> Command:
    def command() -> None:
        repository = root / "repository"
        repository.mkdir(parents=True)
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        (repository / "dvc.yaml").write_text(PIPELINE)
        (repository / "params.yaml").write_text("value: 1\n")
        (repository / "in").write_text("one\n")
        for line in (
            ["git", "init", "-q", "-b", "main"],
            [sys.executable, "-m", "dvc", "init", "-q"],
            ["git", "add", "-A"],
            ["git", *identity, "commit", "-q", "-m", "first"],
        ):
            subprocess.run(line, cwd=repository, check=True)

    return command


def _worked(root: Path) -> Command:
    """Leave what the tasks of a run leave in its workspace."""

    def command() -> None:
        one = _run(root)
        workspace = one.workspace
        (workspace / "dvc.lock").write_text("schema: '2.0'\n")
        (workspace / "params.yaml").write_text("value: 2\n")
        (workspace / "decisions").mkdir()
        (workspace / "decisions/segmentation.json").write_text(json.dumps({"verdict": "HOLD"}))

    return command


def _run(root: Path) -> Run:
    return Run(Locations(str(root / "repository"), State(root / ".brats")), "dag", "one")


def _of_run(root: Path, act: Callable[[Run], object]) -> Command:
    """Return what acts on a DAG run as a task of Airflow does: an expected error is one sentence."""

    def command() -> None:
        try:
            act(_run(root))
        except Exception as error:
            known = outcomes.expected(error)
            if known is None:
                raise
            print(f"brats: {known}", file=sys.stderr)
            sys.exit(1)

    return command


def _pinned(run: Run) -> None:
    run.pin("main", lambda _: Prepared())
    run.open()


def _opened(run: Run) -> None:
    """Open the workspace as a later task does, and check that it is whole."""
    workspace = run.open()
    for name, text in {"in": "one\n", "dvc.yaml": PIPELINE, "params.yaml": "value: 2\n"}.items():
        if (workspace / name).read_text() != text:
            raise RuntimeError(f"the workspace has another {name} than the run left")
    if not (workspace / "decisions/segmentation.json").is_file():
        raise RuntimeError("the workspace has lost its decisions")


CHECKOUTS: dict[str, tuple[str | None, *tuple[Callable[[Path], Command], ...]]] = {
    "cohort": (None, _cohort),
    "acquired": ("cohort", _by("validate")),
    "evaluated": ("cohort", _results),
    "published": ("evaluated", _by("publish")),
    "judged": ("published", _by("gate")),
    "promoted": ("judged", _by("promote")),
    "scored": ("promoted", _by("score")),
    "retrained": ("scored", _retrained),
    "republished": ("retrained", _by("publish")),
    "rejudged": ("republished", _by("gate"), _accepted),
    "repromoted": ("rejudged", _by("promote")),
    "translated": ("promoted", _by("set", "evaluate.runtime=openvino"), _by("score"), _without_predictions),
    "split": ("acquired", _by("split")),
    "preprocessed": ("split", _by("preprocess")),
    "repository": (None, _repository),
    "pinned": ("repository", lambda root: _of_run(root, _pinned), _worked),
}
