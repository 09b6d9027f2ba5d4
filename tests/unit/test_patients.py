from itertools import product
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.tables.clinical import identities
from brats_ml.adapters.tables.frames import read_csv
from brats_ml.cohort.mapping import mapping_rows, nameless_cells, repeating_columns
from brats_ml.cohort.names import bare_name, name_key, release_year
from brats_ml.cohort.patients import Identities, identify
from brats_ml.errors import TableError
from brats_ml.workspace import Artefact

names = st.sampled_from(
    [
        *(f"{year}_{rest}" for year in ("Brats17", "Brats18", "BraTS19") for rest in ("TCIA02_1_1", "TCIA_2_1", "X_1")),
        *(f"BraTS20_Training_00{number}" for number in range(3)),
        *(f"BraTS2021_0000{number}" for number in range(3)),
        *(f"BraTS-GLI-0000{number}" for number in range(3)),
        *(f"TCGA-06-000{number}" for number in range(3)),
        "hospital 7",
        "a",
        "A",
    ]
)
rows = st.lists(st.tuples(names | st.just("NA"), names | st.just("NA"), names | st.just("")), max_size=6)
mappings = rows.map(lambda found: mapping(*found)).filter(lambda table: len(repeating_columns(table)) < 2)
pairs = st.lists(st.tuples(names, names), max_size=4)


def mapping(*found: tuple[str, ...]) -> pd.DataFrame:
    columns = ["BraTS_2019_subject_ID", "TCGA_TCIA_subject_ID", "BraTS_2020_subject_ID"]
    return pd.DataFrame(found, columns=columns[: len(found[0])] if found else columns, dtype=str)


def united(known: Identities, given_names: list[str]) -> set[tuple[str, str]]:
    return {(one, two) for one, two in product(given_names, repeat=2) if known.patient(one) == known.patient(two)}


@settings(deadline=None)
@given(st.lists(mappings, max_size=3), st.lists(names), pairs)
def test_the_relation_is_an_equivalence(
    tables: list[pd.DataFrame], others: list[str], same: list[tuple[str, str]]
) -> None:
    known = identify(dict(zip("abc", tables, strict=False)), others, same)
    everyone = [name for aliases in known.names.values() for name in aliases]

    assert len(everyone) == len(set(everyone))  # each name belongs to one patient: reflexive, symmetric, transitive
    assert set(others) <= set(everyone)
    for patient, aliases in known.names.items():
        assert {known.patient(name) for name in aliases} == {patient}
        assert patient in aliases
        assert all(known.aliases(name) == aliases for name in aliases)
    assert all(known.patient(one) == known.patient(two) for one, two in same)


@settings(deadline=None)
@given(st.lists(mappings, max_size=3), st.lists(names), pairs, st.randoms())
def test_the_order_of_tables_rows_columns_and_names_does_not_matter(
    tables: list[pd.DataFrame], others: list[str], same: list[tuple[str, str]], random: Random
) -> None:
    shuffled = [table.sample(frac=1, random_state=random.randrange(99), axis="index") for table in tables]
    shuffled = [table[random.sample(list(table.columns), len(table.columns))] for table in shuffled]
    random.shuffle(shuffled)
    swapped = [(two, one) for one, two in reversed(same)]

    one = identify(dict(enumerate(tables)), others, same)  # type: ignore[arg-type]
    two = identify(dict(enumerate(shuffled)), others[::-1], swapped)  # type: ignore[arg-type]

    assert (dict(one.patients), dict(one.names)) == (dict(two.patients), dict(two.names))


@settings(deadline=None)
@given(st.lists(mappings, min_size=1, max_size=3), st.lists(names), pairs)
def test_another_table_never_separates_united_names(
    tables: list[pd.DataFrame], others: list[str], same: list[tuple[str, str]]
) -> None:
    some = identify(dict(zip("abc", tables[1:], strict=False)), others, same)
    more = identify(dict(zip("xyz", tables, strict=False)), others, same)
    everyone = [name for aliases in some.names.values() for name in aliases]

    assert united(some, everyone) <= united(more, everyone)


def test_the_name_in_the_newest_release_is_the_unified_name() -> None:
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
def test_the_release_of_a_name_is_recognised(name: str, year: int) -> None:
    assert release_year(name) == year


def test_equal_numbers_of_2021_and_2023_unite_nobody() -> None:
    known = identify({}, ["BraTS2021_00001", "BraTS-GLI-00001", "BraTS-SSA-00001", "BraTS20_Training_001"])

    assert len(known.names) == 4


def test_a_cell_with_a_time_point_counts_for_its_patient() -> None:
    known = identify({"m.csv": mapping(("BraTS-GLI-00001-000", "NA", "BraTS2021_00009"))}, [])

    assert known.patient("BraTS2021_00009") == known.patient("BraTS-GLI-00001-003") == "BraTS-GLI-00001"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Brats17_\u00c4_1_1", "Brats17_A\u0308_1_1"),
        ("hospital\u200b 7", "Hospital7"),
        ("\ufeffBraTS20_Training_001", "BraTS20_Training_\u00a0001"),
        ("BRATS20_TRAINING_001", "BraTS2020_Training_001"),
        ("BraTS21_00001", "BraTS2021_00001"),
        ("BraTS2017_TCIA_1_1", "Brats18_TCIA03_1_1"),
        ("brats-gli-00001-002", "BraTS-GLI-00001-000"),
        ("BraTS-GLI-00001 -000", "BraTS-GLI-00001"),
    ],
)
def test_names_that_look_equal_are_one_patient(one: str, two: str) -> None:
    known = identify({}, [one, two])

    assert len(known.names) == 1
    assert known.patient(one) == known.patient(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [("BraTS20_Training_001", "BraTS21_Training_001"), ("BraTS2021_00001", "BraTS2021_00010"), ("P1_2", "P12")],
)
def test_names_that_look_different_are_two_patients(one: str, two: str) -> None:
    assert len(identify({}, [one, two]).names) == 2


@given(names)
def test_the_key_of_a_name_equals_that_of_the_bare_name(name: str) -> None:
    assert name_key(bare_name(name)) == name_key(name)
    assert bare_name(bare_name(name)) == bare_name(name)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("BraTS20_Training\n_001", "BraTS20_Training _001 has a line break"),
        ("BraTS20_Training_001 / BraTS20_Training_002", ".* has a slash"),
        ("BraTS20_Training_001_t1.nii.gz", ".* is the name of a file"),
        ("x1/" + 500 * "y", r"x1/y{54}\.\.\. has a slash"),
    ],
)
def test_the_error_of_a_cell_that_is_no_name_names_the_row(cell: str, fault: str) -> None:
    table = mapping(("BraTS19_X_1", "N/A", "BraTS20_Training_000"), ("BraTS19_X_2", "NA", cell))

    with pytest.raises(TableError, match=rf"m\.csv: row 2 below the header: BraTS_2020_subject_ID {fault}.*alone$"):
        identify({"m.csv": table}, [])


def numbered(rows: int, **columns: str) -> pd.DataFrame:
    numbers = [f"{number:03d}" for number in range(rows)]
    table = mapping(*((f"BraTS19_X_{number}", "NA", f"BraTS20_Training_{number}") for number in numbers))
    return table.assign(**columns)


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("BraTS_release", "BraTS2020"),
        ("BraTS_2021_fold", "fold1"),
        ("BraTS grade", "WHO4"),
        ("TCIA_dataset", "CPTAC-3"),
    ],
)
@pytest.mark.parametrize("rows", [4, 60])
def test_a_column_that_repeats_its_cells_is_no_column_of_names(header: str, cell: str, rows: int) -> None:
    table = numbered(rows, **{header: cell})

    assert len(identify({"m.csv": table}, []).names) == rows


def test_a_column_of_folds_is_no_column_of_names() -> None:
    table = numbered(60).assign(BraTS_fold=[f"fold{number % 5}" for number in range(60)])

    assert repeating_columns(table) == ["BraTS_fold"]


def test_time_points_of_one_patient_do_not_count_as_repeated_cells() -> None:
    table = pd.DataFrame(
        [(f"hospital {patient}", f"BraTS-GLI-{patient}-{time}") for patient in (1, 2) for time in range(5)],
        columns=["PatientID", "BraTS2023"],
    )

    assert set(identify({"m.csv": table}, []).names) == {"BraTS-GLI-1", "BraTS-GLI-2"}


def test_a_table_with_one_column_that_does_not_repeat_is_refused() -> None:
    table = numbered(9, TCGA_TCIA_subject_ID="CPTAC-3").drop(columns="BraTS_2019_subject_ID")

    with pytest.raises(TableError, match=r"needs two columns .*TCGA_TCIA_subject_ID repeats the same few cells"):
        identify({"m.csv": table}, [])


def test_a_cell_that_unites_many_names_of_one_release_is_refused() -> None:
    table = numbered(20).assign(TCGA_TCIA_subject_ID=[f"TCGA-{number}" for number in range(20)])
    table.loc[3:7, "TCGA_TCIA_subject_ID"] = "batch-1"

    with pytest.raises(
        TableError,
        match=r"^m\.csv: batch-1 is in 5 rows and unites 5 names of 20\d\d, such as .*, into one patient; correct",
    ):
        identify({"other.csv": numbered(20), "m.csv": table}, [])


def test_equal_voxels_unite_any_number_of_names() -> None:
    given_names = [f"BraTS20_Training_00{number}" for number in range(9)]

    assert len(identify({}, [], [(given_names[0], name) for name in given_names]).names) == 1


def test_an_unknown_name_is_its_own_unified_name() -> None:
    assert Identities().patient(" hospital 7 ") == "hospital 7"
    assert Identities().aliases("BraTS-GLI-00001-000") == ("BraTS-GLI-00001",)


@pytest.mark.parametrize(
    "header",
    [("BraTS2021", "BraTS2023"), ("Local ID", "BraTS_2020_subject_ID"), ("PatientID", "case_id"), ("tcia", "BRATS 17")],
)
def test_columns_of_names_are_recognised_by_their_header(header: tuple[str, str]) -> None:
    table = pd.DataFrame([["p1", "q1", "s1", "HGG"], ["p2", "q2", "s1", "HGG"]], columns=[*header, "Site ID", "Grade"])

    assert mapping_rows(table, name="m.csv") == [["p1", "q1"], ["p2", "q2"]]


def test_cells_that_name_no_patient_unite_nobody_and_are_listed() -> None:
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

    # In 2020 the training table has 369 rows, the validation table 125, and the testing table 166. No name is in two
    # rows.
    assert len(known.names) == 369 + 125 + 166
    bare = identify({}, [name for aliases in known.names.values() for name in aliases])
    for year in ("2017", "2018"):
        table = read_csv(Artefact(real_data / "tables/brats2020_name_mapping.csv", "BraTS"))
        both = table[[f"BraTS_{year}_subject_ID", "BraTS_2019_subject_ID"]]
        both = both[(both != "NA").all(axis="columns")]
        assert len(both) == 285
        assert all(bare.patient(old) == bare.patient(new) for old, new in both.itertuples(index=False))
    assert known.patient("Brats17_CBICA_BFP_1") == "BraTS20_Training_085"
