"""The locked patients as the gate shows them to one candidate: who is left out, and how often they were looked at.

Every model that is judged on the same patients wears them out: the best of many is partly the luckiest. So the ledger
gets a line for each look, before a score is used, and patients that no model was judged on are preferred.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from brats_ml import files, locks
from brats_ml.adapters.tracking.ledger import LOOK, append_entry, looks
from brats_ml.adapters.tracking.version import Version
from brats_ml.dataset.identities import lasting_identities
from brats_ml.workspace import Workspace


@dataclass(frozen=True)
class Look:
    """The rows that judge a candidate.

    Attributes:
        rows: Rows of the locked patients that judge.
        patients: The unified name of the patient of each row.
        looks: Number of other models that were judged on the most worn of these patients.
        fresh: Number of these patients that no other model was judged on.
        left_out: Number of worn patients that do not judge, since there are enough fresh ones.
    """

    rows: pd.DataFrame
    patients: pd.Series
    looks: int
    fresh: int
    left_out: int

    @property
    def measured(self) -> dict[str, int]:
        """What the record of a decision says about the look."""
        return {"looks": self.looks, "fresh": self.fresh, "left_out": self.left_out}


@dataclass(frozen=True)
class LockedPatients:
    """The locked patients of a checkout, for one candidate.

    Attributes:
        ws: The checkout.
        candidate: The version that is judged.
        fresh_cases: With so many patients that no other model was judged on, these alone judge.
    """

    ws: Workspace
    candidate: Version
    fresh_cases: int

    def unseen(self, rows: pd.DataFrame, trained_on: Iterable[str]) -> pd.DataFrame:
        """Return the rows of patients that a model was not trained on, under any of their names."""
        known = lasting_identities(self.ws)
        seen = set(map(known.patient, trained_on))
        return rows[~rows["patient"].map(known.patient).isin(seen)]

    def look(self, rows: pd.DataFrame) -> Look:
        """Return the rows that judge, after writing the look into the ledger; a repeated look is not written again.

        Args:
            rows: Rows of locked patients that neither the candidate nor the champion was trained on.

        Raises:
            StorageError: The ledger cannot be locked.
            OSError: The ledger cannot be written; it is as before.
        """
        known = lasting_identities(self.ws)
        patients = rows["patient"].map(known.patient)
        with locks.exclusive(self.ws.state.ledger_lock, holder="another gate or promotion"):
            earlier = [entry for entry in looks(self.ws.state.ledger.path) if entry["model"] == self.candidate.name]
            own = [entry for entry in earlier if self.candidate.is_named_by(entry)]
            worn = Counter(
                patient
                for entry in earlier
                if entry not in own
                for patient in set(map(known.patient, entry["patients"]))
            )
            fresh = ~patients.isin(worn.keys())
            enough = patients[fresh].nunique() >= self.fresh_cases
            judging = patients[fresh] if enough else patients
            found = sorted(set(judging))
            if found and files.digest_value(found) not in [entry["digest"] for entry in own]:
                append_entry(self.ws.state.ledger.path, self._entry(found))
        return Look(
            rows=rows.loc[judging.index],
            patients=judging,
            looks=max((worn[patient] for patient in found), default=0),
            fresh=patients[fresh].nunique(),
            left_out=patients.nunique() - len(found),
        )

    def _entry(self, patients: list[str]) -> dict[str, Any]:
        return {
            "event": LOOK,
            "model": self.candidate.name,
            **self.candidate.identity,
            "patients": patients,
            "digest": files.digest_value(patients),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
