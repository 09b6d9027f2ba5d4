"""An inbox in use: cases arrive slowly, are replaced, moved and deleted, some are damaged, champions change meanwhile.

Two scorers work all the time. A random generator with a seed decides what happens, so a failure can be repeated but for
the timing of processes.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from brats_ml.actions import sample_inbox, score
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params, load
from brats_ml.config.edit import override
from brats_ml.errors import BratsError
from brats_ml.files import digest_file, digest_tree
from brats_ml.workspace import Workspace
from tests.actions.registered_models import TRAINED, make_champion, register

CHANGES, SCORERS = 3, 2
ROOT = Path(__file__).parents[2]
PACE_LIMIT_S = 60.0
POISON: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "no image": lambda path: path.write_text("none"),
    "missing": lambda path: path.unlink(),
}


@dataclass
class Soak:
    """An inbox in use.

    Attributes:
        ws: A checkout with registered models; see `prepare`.
        params: Its parameters.
        count: How many cases arrive in all.
        generator: What decides.
        sound: The valid cases in the inbox, each with the digest of its folder.
        poisoned: The damaged ones.
        seen: Predictions of cases before they were replaced, as (case, digest of prediction.json).
    """

    ws: Workspace
    params: Params
    count: int
    generator: random.Random
    sound: dict[str, str] = field(default_factory=dict)
    poisoned: dict[str, str] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    champion: int = 1

    def run(self) -> None:
        """Let all cases arrive while the scorers work; at the end, score what is left."""
        make_champion(self.ws, "segmentation", 1)
        patients = sorted(path for path in self.ws.inbox.path.iterdir() if path.is_dir())
        self._patients = [shutil.move(path, self.ws.root / path.name) for path in patients]
        scorers = [_fork(self._score_until_ended) for _ in range(SCORERS)]
        try:
            for number in range(self.count):
                self._arrive(number)
                self._keep_pace(number + 1)
                if self.sound and self.generator.random() < 0.1:
                    self.generator.choice([self._replace, self._move, self._delete])()
                if (number + 1) % max(1, self.count // (CHANGES + 1)) == 0 and self.champion <= CHANGES:
                    self.champion += 1
                    _wait(_fork(lambda: make_champion(self.ws, "segmentation", self.champion)))
        finally:
            for child in scorers:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        _wait(_fork(lambda: score.run(self.ws, self.params)))

    def problems(self) -> list[str]:
        """Return what is wrong at the end."""
        found = []
        for case_id, digest in (self.sound | self.poisoned).items():
            if digest_tree(self.ws.inbox.path / case_id) != digest:
                found.append(f"{case_id}: its scans were changed")
        for case_id in self.sound:
            found += [f"{case_id}: {problem}" for problem in self._problems_of_sound(case_id)]
        for case_id in self.poisoned:
            record = self._record(case_id)
            if record.get("status") != "refused" or not record.get("reason"):
                found.append(f"{case_id} is damaged and {record.get('status')}")
        predictions = self.ws.predictions().path
        kept = {(path.parent, digest_file(path)) for path in predictions.rglob("prediction.json")}
        digests = {digest for _, digest in kept}
        found += [f"{case_id}: an earlier prediction is gone" for case_id, digest in self.seen if digest not in digests]
        return found

    def _problems_of_sound(self, case_id: str) -> list[str]:
        record, found = self._record(case_id), []
        if record.get("status") != "scored":
            return [f"is {record.get('status', 'not scored')}: {record.get('reason')}"]
        made_from = record["provenance"]
        if made_from["segmentation"]["version"] != self.champion:
            found.append(f"was scored by version {made_from['segmentation']['version']}")
        for modality in MODALITIES:
            if made_from["data"][modality] != digest_file(self._scan(case_id, modality)):
                found.append(f"was scored from another {modality}")
        labels = read_volume(self.ws.predictions().case(case_id).labels(case_id))
        if labels.grid.shape != read_volume(self._scan(case_id, "t1")).grid.shape:
            found.append("has a label map of another shape")
        return found

    def _score_until_ended(self) -> None:
        while True:
            with suppress(BratsError):  # the next call finds the cases that this one could not read
                score.run(self.ws, self.params)
            time.sleep(0.01)

    def _keep_pace(self, arrived: int) -> None:
        """Wait while the scorers are far behind, so that much of what happens meets a prediction."""
        deadline = time.monotonic() + PACE_LIMIT_S
        while arrived - len(self.ws.predictions().cases()) > max(8, self.count // 40) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _arrive(self, number: int) -> None:
        """Copy a case file by file; one in a hundred is damaged."""
        case_id = f"BraTS20_Validation_{number + 1:04d}"
        patient = Path(self.generator.choice(self._patients))
        for modality in self.generator.sample(MODALITIES, len(MODALITIES)):
            target = self._scan(case_id, modality)
            target.parent.mkdir(exist_ok=True)
            content = (patient / volume_name(patient.name, modality)).read_bytes()
            with target.open("wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                time.sleep(0.001)
                file.write(content[len(content) // 2 :])
        if number % 100 == 50 or (self.count < 100 and number % 20 == 10):
            kind = self.generator.choice(list(POISON))
            POISON[kind](self._scan(case_id, self.generator.choice(MODALITIES)))
            self.poisoned[case_id] = self._digest(case_id)
        else:
            self.sound[case_id] = self._digest(case_id)

    def _replace(self) -> None:
        """Write another patient's scans over a case, as a scanner that sends it again."""
        case_id = self._see()
        patient = Path(self.generator.choice(self._patients))
        for modality in MODALITIES:
            shutil.copyfile(patient / volume_name(patient.name, modality), self._scan(case_id, modality))
        self.sound[case_id] = self._digest(case_id)

    def _move(self) -> None:
        """Rename a case out of the inbox and back."""
        path = self.ws.inbox.path / self._see()
        path.rename(self.ws.root / "away")
        time.sleep(0.002)
        (self.ws.root / "away").rename(path)

    def _delete(self) -> None:
        case_id = self._see()
        shutil.rmtree(self.ws.inbox.path / case_id)
        del self.sound[case_id]

    def _see(self) -> str:
        """Return a random case, after noting its prediction."""
        case_id = self.generator.choice(list(self.sound))
        with suppress(OSError):
            path = self.ws.predictions().case(case_id).prediction.path
            if json.loads(path.read_text())["status"] == "scored":
                self.seen.add((case_id, digest_file(path)))
        return case_id

    def _scan(self, case_id: str, modality: str) -> Path:
        return self.ws.inbox.path / case_id / volume_name(case_id, modality)

    def _digest(self, case_id: str) -> str:
        return digest_tree(self.ws.inbox.path / case_id)

    def _record(self, case_id: str) -> dict[str, object]:
        with suppress(FileNotFoundError):
            record: dict[str, object] = json.loads(self.ws.predictions().case(case_id).prediction.path.read_text())
            return record
        return {}


def run(root: Path, count: int) -> list[str]:
    """Let `count` cases arrive in the inbox of a new checkout, and return what is wrong at the end."""
    ws = Workspace(root)
    root.mkdir()
    shutil.copyfile(ROOT / "params.yaml", ws.params)
    override(ws.params, ["phantom.shape=[32, 32, 32]"])
    params = load(ws.params)
    _wait(_fork(lambda: prepare(ws, params)))
    soak = Soak(ws, params, count, random.Random(0))  # noqa: S311  # not for a secret
    soak.run()
    return soak.problems()


def prepare(ws: Workspace, params: Params) -> None:
    """Register the versions that become champion, which are one small network, and draw some patients."""
    folder = ws.root / "registered/regions3d"
    shutil.copytree(TRAINED / "regions3d", folder / "data/regions3d")
    for number in range(1, CHANGES + 2):
        register(embedded_store(ws.state), "segmentation", number, folder)
    sample_inbox.run(ws, params, cases=6)


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def _wait(child: int) -> None:
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("a process of the soak failed")
