from itertools import product
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.files import read_csv
from brats_ml.adapters.tables import identities
from brats_ml.cohort.patients import Identities, identify, mapping_rows, nameless_cells, release_year
from brats_ml.errors import TableError

names = st.sampled_from(
    [
        *(f"{year}_{rest}" for year in ("Brats17", "Brats18", "BraTS19") for rest in ("TCIA02_1_1", "TCIA_2_1", "X_1")),
        *(f"BraTS20_Training_00{number}" for number in range(4)),
        *(f"BraTS2021_0000{number}" for number in range(3)),
        *(f"BraTS-GLI-0000{number}" for number in range(3)),
        *(f"TCGA-06-000{number}" for number in range(3)),
        "hospital 7",
        "a",
        "A",
    ]
)
rows = st.lists(st.tuples(names | st.just("NA"), names | st.just("NA"), names | st.just("")), max_size=6)
mappings = rows.map(lambda found: mapping(*found))
pairs = st.lists(st.tuples(names, names), max_size=4)


def mapping(*found: tuple[str, ...]) -> pd.DataFrame:
    columns = ["BraTS_2019_subject_ID", "TCGA_TCIA_subject_ID", "BraTS_2020_subject_ID"]
    return pd.DataFrame(found, columns=columns[: len(found[0])] if found else columns, dtype=str)


def united(known: Identities, given_names: list[str]) -> set[tuple[str, str]]:
    return {(one, two) for one, two in product(given_names, repeat=2) if known.patient(one) == known.patient(two)}


@settings(deadline=None)
@given(st.lists(mappings, max_size=3), st.lists(names), pairs)
def test_the_relation_is_an_equivalence(
    tables: list[pd.DataFrame], heard: list[str], same: list[tuple[str, str]]
) -> None:
    known = identify(dict(zip("abc", tables, strict=False)), heard, same)
    everyone = [name for aliases in known.names.values() for name in aliases]

    assert len(everyone) == len(set(everyone))  # each name belongs to one patient: reflexive, symmetric, transitive
    assert set(heard) <= set(everyone)
    for patient, aliases in known.names.items():
        assert {known.patient(name) for name in aliases} == {patient}
        assert patient in aliases
        assert all(known.aliases(name) == aliases for name in aliases)
    assert all(known.patient(one) == known.patient(two) for one, two in same)


@settings(deadline=None)
@given(st.lists(mappings, max_size=3), st.lists(names), pairs, st.randoms())
def test_the_order_of_everything_is_irrelevant(
    tables: list[pd.DataFrame], heard: list[str], same: list[tuple[str, str]], random: Random
) -> None:
    shuffled = [table.sample(frac=1, random_state=random.randrange(99), axis="index") for table in tables]
    shuffled = [table[random.sample(list(table.columns), len(table.columns))] for table in shuffled]
    random.shuffle(shuffled)
    swapped = [(two, one) for one, two in reversed(same)]

    one = identify(dict(enumerate(tables)), heard, same)  # type: ignore[arg-type]
    two = identify(dict(enumerate(shuffled)), heard[::-1], swapped)  # type: ignore[arg-type]

    assert (dict(one.patients), dict(one.names)) == (dict(two.patients), dict(two.names))


@settings(deadline=None)
@given(st.lists(mappings, min_size=1, max_size=3), st.lists(names), pairs)
def test_one_more_table_never_separates(
    tables: list[pd.DataFrame], heard: list[str], same: list[tuple[str, str]]
) -> None:
    some = identify(dict(zip("abc", tables[1:], strict=False)), heard, same)
    more = identify(dict(zip("xyz", tables, strict=False)), heard, same)
    everyone = [name for aliases in some.names.values() for name in aliases]

    assert united(some, everyone) <= united(more, everyone)


def test_the_name_of_the_newest_release_is_the_patients() -> None:
    row = ("BraTS19_X_1", "TCGA-06-0190", "BraTS20_Training_001")
    known = identify({"m.csv": mapping(row)}, ["Brats17_X_1"], [("BraTS-GLI-00007-000", "BraTS20_Training_001")])

    assert known.patient("brats18_x_1") == "BraTS-GLI-00007"
    assert known.aliases("tcga-06-0190") == tuple(sorted((*row, "Brats17_X_1", "BraTS-GLI-00007")))


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("Brats17_2013_10_1", 2017),
        ("BraTS19_TCIA02_1_1", 2019),
        ("BraTS20_Validation_001", 2020),
        ("BraTS2021_00042", 2021),
        ("BraTS-SSA-00010", 2023),
        ("BRATS_001", 0),
        ("TCGA-06-0190", 0),
        ("2020", 0),
    ],
)
def test_a_name_tells_its_release(name: str, year: int) -> None:
    assert release_year(name) == year


def test_numbers_of_2021_and_2023_unite_nobody() -> None:
    known = identify({}, ["BraTS2021_00001", "BraTS-GLI-00001", "BraTS-SSA-00001", "BraTS20_Training_001"])

    assert len(known.names) == 4


def test_a_cell_with_a_time_point_counts_for_its_patient() -> None:
    known = identify({"m.csv": mapping(("BraTS-GLI-00001-000", "NA", "BraTS2021_00009"))}, [])

    assert known.patient("BraTS2021_00009") == known.patient("BraTS-GLI-00001-003") == "BraTS-GLI-00001"


def test_who_was_never_heard_of_is_called_as_given() -> None:
    assert Identities().patient(" hospital 7 ") == "hospital 7"
    assert Identities().aliases("BraTS-GLI-00001-000") == ("BraTS-GLI-00001",)


@pytest.mark.parametrize(
    "header",
    [("BraTS2021", "BraTS2023"), ("Local ID", "BraTS_2020_subject_ID"), ("PatientID", "case_id"), ("tcia", "BRATS 17")],
)
def test_columns_of_names_are_known_by_their_header(header: tuple[str, str]) -> None:
    table = pd.DataFrame([["p1", "q1", "s1", "HGG"], ["p2", "q2", "s1", "HGG"]], columns=[*header, "Site ID", "Grade"])

    assert mapping_rows(table, name="m.csv") == [["p1", "q1"], ["p2", "q2"]]


def test_cells_that_name_nobody_unite_nobody_and_are_told() -> None:
    table = mapping(("7", "new", "x1"), ("7", "new", "x2"), ("N/A", "-", "Unknown"), ("NA", "anna", "x3"))

    known = identify({"m.csv": table}, [])

    assert known.aliases("x1") == ("x1",)
    assert known.aliases("x3") == ("anna", "x3")
    assert nameless_cells(table, name="m.csv") == {
        "BraTS_2019_subject_ID": ["7", "7"],
        "TCGA_TCIA_subject_ID": ["new", "new"],
    }


def test_a_mapping_table_without_two_columns_of_names_is_refused() -> None:
    table = pd.DataFrame({"Grade": ["HGG"], "BraTS_2020_subject_ID": ["x1"]})

    with pytest.raises(TableError, match=r"^a/m\.csv: needs two columns .* has Grade, BraTS_2020_subject_ID; correct"):
        identify({"a/m.csv": table}, [])


def test_the_real_mapping_tables_agree_with_the_numbering_of_2017_to_2019(real_data: Path) -> None:
    known = identities(real_data / "tables")

    # By hand: 369 rows of training and 125 of validation in 2020, no name in two rows; 166 more in the testing table.
    assert len(known.names) == 369 + 125 + 166
    bare = identify({}, [name for aliases in known.names.values() for name in aliases])
    for year in ("2017", "2018"):
        table = read_csv(real_data / "tables/brats2020_name_mapping.csv", made_by="BraTS")
        both = table[[f"BraTS_{year}_subject_ID", "BraTS_2019_subject_ID"]]
        both = both[(both != "NA").all(axis="columns")]
        assert len(both) == 285
        assert all(bare.patient(old) == bare.patient(new) for old, new in both.itertuples(index=False))
    assert known.patient("Brats17_CBICA_BFP_1") == "BraTS20_Training_085"
