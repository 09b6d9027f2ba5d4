import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.tables.clinical import clinical_table, identities, read_table, read_tables
from brats_ml.adapters.tables.csv_dialects import parse_csv
from brats_ml.cohort.clinical_merge import combine
from brats_ml.cohort.patients import Identities
from brats_ml.cohort.release_files import is_table
from brats_ml.errors import MissingInputError, TableError

PLAIN = "Brats20ID,Age,Survival_days,Extent_of_Resection\na,60.463,289,GTR\nb,52.5,ALIVE (361 days later),NA\n"
SEMICOLONS = PLAIN.replace(",", ";").replace(".", ",")
REORDERED = "Age,Extent_of_Resection,Survival_days,Brats20ID\n60.463,GTR,289,a\n52.5,NA,ALIVE (361 days later),b\n"


def rows(content: bytes) -> pd.DataFrame:
    return combine({"survival.csv": parse_csv(content, name="survival.csv")}, Identities())


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + PLAIN.encode(),
        SEMICOLONS.encode(),
        b"sep=;\r\n" + SEMICOLONS.encode(),
        b'\xef\xbb\xbf"sep=;";;;\r\n' + SEMICOLONS.encode(),
        b"sep=:\n" + PLAIN.replace(",", ":").encode(),
        PLAIN.replace(",", "|").encode(),
        b",,\n" + PLAIN.replace("Brats20ID", ",Brats20ID").replace("\na", "\n0,a").replace("\nb", "\n1,b").encode(),
        PLAIN.replace("Extent_of_Resection", '"Extent_\nof;;;;Resection"').encode(),
        PLAIN.replace(",", "\t").encode(),
        REORDERED.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\n\n , ,,\n").encode(),
        PLAIN.replace(",", " , ").replace("\n", " \n").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        PLAIN.replace("Brats20ID", '"Brats20ID"').replace("a,", '"a",').encode(),
        PLAIN.upper().replace("SURVIVAL_DAYS", "survival days").replace("\nA", "\na").replace("\nB", "\nb").encode(),
        PLAIN.rstrip("\n").encode(),
    ],
    ids=[
        "byte order mark", "semicolons and decimal commas", "Excel's sep line",
        "a sep line in quotes", "a sep line with a rare delimiter", "bars", "row numbers in front", "a quoted header",
        "tabs", "reordered columns", "UTF-16",
        "CRLF", "CR", "empty lines", "blanks", "delimiters at the end", "quotes", "other case", "no last line end",
    ],
)  # fmt: skip
def test_a_table_is_read_however_it_was_saved(content: bytes) -> None:
    pd.testing.assert_frame_equal(rows(content), rows(PLAIN.encode()))


def test_latin_1_is_read() -> None:
    table = parse_csv("Brats20ID,Klinik\nMüller 1,Köln\n".encode("latin-1"), name="t.csv")

    assert table.iloc[0].tolist() == ["Müller 1", "Köln"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; save"),
        (b"\xef\xbb\xbf \n\n", "is empty; save"),
        (b"just words", "is not a table: its first line has no comma, semicolon, tab or bar; save"),
        (b",,,\n", "is empty; save"),
        (b"PK\x03\x04rest", "is an Excel workbook or an archive, not CSV; save"),
        (b"\x1f\x8b\x08\x00", "is compressed by gzip, not CSV; save"),
        (b"a,b\n\x00\x01\x02,3\n", "is binary, not text; save"),
        (b"\xff\xfea,b", "is binary, not text; save"),
        (b"a,a\n1,2\n", "has two columns a; remove one"),
        (b"a,b\n1,2,3\n", "line 2 has a cell without a header, 3; correct the line"),
        (b"a,b,c\n1,2,3\n\n1,2\n", "line 4 has 2 cells, but the header has 3; complete the line"),
        (b",a,b\n0,1,2\nx,3,4\n", "line 3 has a cell without a header, x; correct the line"),
        (b"a,b\n1,2," + 500 * b"3", f"line 2 has a cell without a header, {57 * '3'}...; correct the line"),
        (b"sep=;\na;b\n1\n", "line 3 has 1 cells, but the header has 2; complete the line"),
        (b'a,b\n"1,2\n', "line 2 cannot be read as CSV (unexpected end of data); save"),
    ],
)
def test_what_is_no_table_is_refused_by_name(content: bytes, sentence: str) -> None:
    with pytest.raises(TableError) as raised:
        parse_csv(content, name="release/survival.csv")

    assert str(raised.value).startswith(f"release/survival.csv: {sentence}")


def test_commas_in_cells_stay_as_they_are() -> None:
    table = parse_csv(b"Brats20ID;Age;Survival_days\nA;60;1,000\n", name="t.csv")

    assert table.iloc[0].tolist() == ["A", "60", "1,000"]
    with pytest.raises(TableError, match=r"row of A: Survival_days 1,000 is not a number"):
        rows(b"Brats20ID;Age;Survival_days\nA;60;1,000\n")


def test_a_header_of_many_columns_is_read_in_the_time_of_its_length() -> None:
    content = ",".join(f"column{number}" for number in range(40_000)).encode()
    start = time.process_time()

    assert parse_csv(content, name="t.csv").shape == (0, 40_000)
    assert time.process_time() - start < 5  # 14 seconds where every column is compared with every other


def test_a_table_too_large_for_patients_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "survival.csv"
    with path.open("wb") as file:
        file.truncate(60_000_000)

    with pytest.raises(
        TableError, match=r"^survival\.csv: has 60 MB, but tables of patients have at most 50 MB; remove"
    ):
        read_table(path)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_table_or_refused(content: bytes) -> None:
    try:
        table = parse_csv(content, name="t.csv")
    except TableError:
        return
    assert len(table.columns)


def test_tables_of_all_folders_are_read_by_their_path(tmp_path: Path) -> None:
    for name in ("survival_info.csv", "2019/Name_Mapping.CSV", "2018/survival_info.csv", ".old/survival_info.csv",
                 "__MACOSX/survival_info.csv", "2018/._survival_info.csv", "notes.csv"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("BraTS_2018_ID,BraTS_2019_ID\n")

    assert list(read_tables(tmp_path)) == ["2018/survival_info.csv", "2019/Name_Mapping.CSV", "survival_info.csv"]


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("MICCAI/name_mapping_validation_data.csv", True),
        ("survival_evaluation.csv", True),
        ("SURVIVAL.CSV", True),
        ("survival.xlsx", False),
        ("survival/notes.csv", False),
        ("a/.hidden/survival.csv", False),
    ],
)
def test_a_table_is_known_by_its_name(path: str, table: bool) -> None:
    assert is_table(path) is table


def test_an_error_names_the_table_by_its_path_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/survival_info.csv").write_text("Brats20ID,Survival_days\na,1\n")

    with pytest.raises(TableError, match=r"^release/survival_info\.csv: has no column Age; it has Brats20ID, Survival"):
        clinical_table(tmp_path)


def test_a_table_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "survival.csv").mkdir()

    with pytest.raises(TableError, match=r"^survival\.csv: cannot be read, .*; grant read permission, or remove it"):
        read_table(tmp_path / "survival.csv")
    with pytest.raises(MissingInputError, match="run `brats acquire` first"):
        read_table(tmp_path / "gone.csv")


def test_clinical_rows_and_cases_join_on_one_name(tmp_path: Path) -> None:
    (tmp_path / "name_mapping.csv").write_text("BraTS_2018_ID,BraTS_2020_ID\nBrats18_X_1,BraTS20_Training_001\n")
    (tmp_path / "survival_data.csv").write_text("Brats17ID,Age,Survival\nBrats17_X_1,60,100\n00042,50,200\n")

    known = identities(tmp_path, ["case"], [("case", "00042")])

    assert clinical_table(tmp_path, known)["patient"].tolist() == ["00042", "BraTS20_Training_001"]
    assert known.aliases("case") == ("00042", "case")
    assert clinical_table(tmp_path)["patient"].tolist() == ["00042", "BraTS20_Training_001"]
