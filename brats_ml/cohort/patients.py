"""Give each patient one identity, although the releases use different names."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brats_ml.cohort.mapping import mapping_rows
from brats_ml.cohort.names import bare_name, name_key, quote_cell, release_year
from brats_ml.errors import TableError

# A release rarely has two names for one patient. If tables unite more of its names than this, a cell is wrong.
MOST_NAMES_IN_A_RELEASE = 3


@dataclass(frozen=True)
class Identities:
    """Which names mean the same patient; an equivalence relation.

    Attributes:
        patients: The unified name of the patient, by the key of any name.
        names: All names of a patient, sorted, by the unified name.
    """

    patients: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def patient(self, name: str) -> str:
        """Return the unified name of the patient that `name`, or a case of that name, belongs to.

        It is the name in the newest release, and does not depend on the order of tables and rows. An unknown name is
        its own unified name.
        """
        bare = bare_name(name)
        return self.patients.get(name_key(bare), bare)

    def aliases(self, name: str) -> tuple[str, ...]:
        """Return all names of the patient called `name`, sorted, with the unified name among them."""
        patient = self.patient(name)
        return self.names.get(patient, (patient,))


def identify(
    mappings: Mapping[str, pd.DataFrame], names: Iterable[str], same: Iterable[tuple[str, str]] = ()
) -> Identities:
    """Unite the names that mean the same patient.

    These are the names in one row of a mapping table, names that look equal, and names of 2017, 2018 and 2019 that
    differ in the year only. Later releases number their patients independently, so equal numbers mean nothing.

    Args:
        mappings: The mapping tables by name, as read, with one row per patient and one column per release.
        names: Other names of patients, such as those of cases and clinical tables.
        same: Pairs of names that mean the same patient for another reason, such as equal voxels.

    Raises:
        TableError: A mapping table has fewer than two columns of names or a cell that is no name, or the tables unite
            too many names of one release.
    """
    rows = [(table, row) for table, cells in mappings.items() for row in mapping_rows(cells, name=table)]
    _refuse_crowds(rows)
    united = _unite([*(row for _, row in rows), *([name] for name in names), *map(list, same)])
    known = {_newest(aliases): tuple(sorted(aliases)) for aliases in united}
    return Identities({name_key(name): patient for patient, aliases in known.items() for name in aliases}, known)


def _unite(groups: list[list[str]]) -> list[set[str]]:
    """Return the names of every patient, given groups of names that each mean one patient."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for name in group:
            spellings[name_key(name)].add(bare_name(name))
    number = {key: index for index, key in enumerate(spellings)}
    links = [pair for group in groups for pair in pairwise(number[name_key(name)] for name in group)]
    ends = np.array(links, dtype=np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (ends[0], ends[1])), shape=(len(number), len(number)))
    members: list[int] = connected_components(graph, directed=False)[1].tolist() if number else []
    united: dict[int, set[str]] = defaultdict(set)
    for key, member in zip(number, members, strict=True):
        united[member] |= spellings[key]
    return list(united.values())


def _refuse_crowds(rows: list[tuple[str, list[str]]]) -> None:
    """Refuse tables that unite too many names of one release, since the split never separates names again."""
    for aliases in _unite([row for _, row in rows]):
        names = {name_key(name): name for name in sorted(aliases)}
        releases: dict[int, list[str]] = defaultdict(list)
        for name in names.values():
            releases[release_year(name)].append(name)
        for year, called in releases.items():
            if year and len(called) > MOST_NAMES_IN_A_RELEASE:
                found = Counter((table, key) for table, row in rows for key in names.keys() & set(map(name_key, row)))
                (table, key), count = found.most_common(1)[0]
                raise TableError(
                    table,
                    f"{quote_cell(names[key])} is in {count} rows and unites {len(called)} names of {year}, such as "
                    f"{called[0]} and {called[1]}, into one patient; correct these rows, or remove the column if it "
                    "holds no names of patients",
                )


def _newest(names: Iterable[str]) -> str:
    return min(names, key=lambda name: (-release_year(name), name))
