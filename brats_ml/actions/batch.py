"""Score the cases of one run, each as if it were the only one."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.progress import track

from brats_ml import locks
from brats_ml.actions.attempts import Attempts
from brats_ml.actions.case_prediction import Predictor
from brats_ml.actions.page_volumes import remember_scans, write_volumes
from brats_ml.actions.unseen_cases import Unseen
from brats_ml.errors import StorageError
from brats_ml.models import prediction_folders as folders
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import PredictionsFolder


class Batch:
    """The cases of one run.

    Attributes:
        predictor: The champions.
        target: The folder of the predictions.
        cases: Where the cases are, noted in the folder with its first prediction.
        probabilities: Whether each case needs a file of probabilities; one that has it already keeps having it.
        attempts: The cases that failed.
    """

    def __init__(
        self,
        predictor: Predictor,
        target: PredictionsFolder,
        console: Console,
        *,
        cases: Named | None = None,
        probabilities: bool = False,
    ) -> None:
        """Print progress and failures to `console`."""
        self.predictor = predictor
        self.target = target
        self.cases = cases
        self.probabilities = probabilities
        self.attempts = Attempts(console)
        self._console = console

    def score(self, found: Sequence[Unseen]) -> Counter[str]:
        """Score cases and return how many are `scored`, `kept`, `refused` or `gone`; `attempts` knows the others.

        The models are loaded only if a case needs them. The kernel ends a process that takes too much memory, so a case
        at which a process ended comes after all others.
        """
        counts: Counter[str] = Counter()
        waiting = []
        for unseen in found:
            case_id = unseen.case.case_id
            state = self.attempts.run(case_id, partial(self.settle, unseen))
            if state is not None:
                counts[state] += 1
            elif case_id not in self.attempts.failed:
                waiting.append(unseen)
        if waiting:
            self.predictor.load(self._console)
        waiting.sort(key=lambda unseen: self.target.bookkeeping(unseen.case.case_id).attempt.exists())
        for unseen in track(waiting, "scoring", console=self._console):
            state = self.attempts.run(unseen.case.case_id, partial(self.predict, unseen))
            if state is not None:
                counts[state] += 1
                self.attempts.say(unseen.case.case_id, state)
        return counts

    def settle(self, unseen: Unseen) -> str | None:
        """Return `gone` or `kept` if there is nothing to predict, else None.

        Raises:
            StorageError: The operating system cannot read the case or its prediction, or its folder is not ours.
        """
        origin, case_id = self.predictor.origin, unseen.case.case_id
        if unseen.doubt is not None:
            raise StorageError(unseen.doubt, transient=True)
        if unseen.is_gone(origin.source):
            return "gone"
        folder = self.target.case(case_id)
        folders.refuse_foreign(folder, case_id)
        fingerprint = origin.fingerprint(unseen)
        record = folders.read_record(folder)
        if record is None or record["status"] != folders.SCORED or not origin.is_of(record["provenance"], unseen):
            return None
        if not folders.has_its_labels(folder, record) or folders.changed_files(folder, record):
            return None
        if self.probabilities and not folders.has_probabilities(folder, case_id):
            return None
        self.target.bookkeeping(case_id).attempt.unlink(missing_ok=True)
        self._mark(unseen, fingerprint)
        remember_scans(self.target, origin.source, unseen)
        return "kept"

    def predict(self, unseen: Unseen) -> str:
        """Predict a case, unless another process has just done so, and return what became of it.

        Raises:
            StorageError: The operating system cannot read or write a file, or the case changed meanwhile.
        """
        case_id = unseen.case.case_id
        with locks.exclusive(self.target.bookkeeping(case_id).lock, holder=f"another process that scores {case_id}"):
            return self.settle(unseen) or self._predict(unseen)

    def _predict(self, unseen: Unseen) -> str:
        origin, case = self.predictor.origin, unseen.case
        folder, fingerprint = self.target.case(case.case_id), origin.fingerprint(unseen)

        def check() -> None:
            if origin.fingerprint(unseen) != fingerprint:
                raise StorageError("its files changed while they were read", transient=True)

        if self.cases is not None:
            folders.claim(self.target, self.cases)
        probabilities = self.probabilities or folder.probabilities(case.case_id).exists()
        predict = partial(self.predictor.predict, unseen, probabilities=probabilities)
        stated = {"case_id": case.case_id, "patient": case.patient, "provenance": origin.of(unseen)}
        record = folders.write_prediction(self.target, stated, predict, check=check)
        self._mark(unseen, fingerprint)
        remember_scans(self.target, origin.source, unseen)
        write_volumes(self.target, folders.stated_record(folder))
        return str(record["status"])

    def _mark(self, unseen: Unseen, fingerprint: str) -> None:
        """Mark a case as done, unless its age is uncertain."""
        case_id = unseen.case.case_id
        if unseen.age.unread:
            self.attempts.note(case_id, StorageError(f"its age is uncertain: {unseen.age.unread[0]}", transient=True))
        elif not folders.is_marked(self.target, case_id, fingerprint):
            folders.mark(self.target, case_id, fingerprint)
