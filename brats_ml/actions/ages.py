"""The ages of unseen patients, from the tables in the folder of the cases; a table that is wrong stops no case."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from brats_ml.cohort.release_files import is_table
from brats_ml.errors import MissingInputError, StorageError, TableError

if TYPE_CHECKING:
    import pandas as pd

    from brats_ml.cohort.patients import Identities


@dataclass(frozen=True)
class Age:
    """The age of a patient, as far as the tables say it.

    Attributes:
        years: The age, or None if no table has it.
        faults: Why tables that may hold the age are not used.
        unread: Why the operating system cannot read further ones; the age is uncertain until it can.
    """

    years: float | None = None
    faults: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Age":
        """Return the age of a record; the inverse of `to_dict`."""
        return cls(record["years"], tuple(record["faults"]), tuple(record["unread"]))


@dataclass(frozen=True)
class Ages:
    """The ages by some tables.

    Attributes:
        years: Age by the unified name of the patient.
        known: Which names mean the same patient.
        faults: Why tables are not used.
        unread: Why the operating system cannot read some.
    """

    years: dict[str, float]
    known: "Identities"
    faults: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def of(self, patient: str) -> Age:
        """Return the age of a patient, under any of their names."""
        years = self.years.get(self.known.patient(patient))
        return Age(years, self.faults if years is None else (), self.unread)


class UnseenAges:
    """The ages in a folder of cases: a table in a case's own folder counts for the cases in there, any other for all.

    So a table of one case can do no harm to the others.
    """

    def __init__(self, source: Path, files: Iterable[str], homes: Collection[str]) -> None:
        """Sort the tables by the folder they count for.

        Args:
            source: The folder of the cases.
            files: All files in it, relative to it and `/`-separated.
            homes: The folders in it that hold volumes, relative to it.
        """
        self._homes = frozenset(homes) - {"."}
        self._tables: dict[str, list[str]] = {}
        for table in filter(is_table, files):
            self._tables.setdefault(self._home(table), []).append(table)
        self._read = cache(lambda home: read_ages(source, self._tables.get(home, ())))

    def of(self, patient: str, files: Iterable[str]) -> Age:
        """Return the age of a patient from the tables of the case's own folder, or else from the shared ones.

        Args:
            patient: The patient.
            files: The files of the case.
        """
        homes = {str(folder) for file in files for folder in PurePosixPath(file).parents} & self._homes
        searched = [home for home in [*sorted(homes, key=len, reverse=True), "."] if home in self._tables]
        found = [self._read(home).of(patient) for home in searched]
        years = next((age.years for age in found if age.years is not None), None)
        faults = tuple(fault for age in found for fault in age.faults) if years is None else ()
        return Age(years, faults, tuple(reason for age in found for reason in age.unread))

    def _home(self, file: str) -> str:
        """Return the innermost folder of a file that holds volumes, or `.`."""
        return next((str(folder) for folder in PurePosixPath(file).parents if str(folder) in self._homes), ".")


def read_ages(source: Path, names: Iterable[str]) -> Ages:
    """Return the ages by those of some tables that can be used, and why the others cannot.

    Args:
        source: Folder of the tables.
        names: The tables, relative to it.
    """
    from brats_ml.adapters.tables.clinical import read_table  # it imports pandas, and most folders have no table

    tables: dict[str, pd.DataFrame] = {}
    faults: list[str] = []
    unread: list[str] = []
    for name in sorted(names):
        try:
            table = read_table(source / name, name=name)
            _combined({name: table})
            tables[name] = table
        except TableError as error:
            faults.append(str(error))
        except (StorageError, MissingInputError) as error:
            unread.append(str(error))
        except Exception as error:  # whatever a table does to its reader concerns that table alone
            faults.append(f"{name}: cannot be read as a table ({type(error).__name__}: {error})")
    while True:
        try:
            known, rows = _combined(tables)
        except TableError as error:
            # Tables that are right alone may contradict each other; the error names one of them.
            faults.append(str(error))
            if tables.pop(str(error.path), None) is None:
                tables.clear()
        else:
            aged = rows[rows["age_years"].notna()]
            years = dict(zip(aged["patient"], aged["age_years"].astype(float), strict=True))
            return Ages(years, known, tuple(faults), tuple(unread))


def _combined(tables: "dict[str, pd.DataFrame]") -> "tuple[Identities, pd.DataFrame]":
    from brats_ml.adapters.tables.clinical import clinical_rows_in, identities_in

    known = identities_in(tables)
    return known, clinical_rows_in(tables, known)
