from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from brats_ml.cohort.case_labels import (
    case_labels,
    cohort_label_set,
    misfit,
    treatment_flags,
    unknown_regions,
    writing_scheme,
)
from brats_ml.cohort.lab_names import Labels, LabelSetName
from brats_ml.cohort.label_table import RELEASES, STORED
from brats_ml.cohort.labels import LABEL_SETS, REMAINDERS, SCHEMES, TITLES, UNIONS, VALUES
from brats_ml.cohort.releases import SERIES

GLIOMA, POST = LABEL_SETS["glioma"], LABEL_SETS["glioma-post-treatment"]


def test_params_yaml_knows_each_declared_label_set_and_scheme() -> None:
    assert list(get_args(LabelSetName)) == list(LABEL_SETS)
    assert list(get_args(Labels)) == list(SCHEMES)


@pytest.mark.parametrize(
    ("name", "label_set", "scheme"),
    [
        ("BraTS20_Training_001", "glioma", "brats2017-2021"),
        ("BraTS-GLI-00002-000", "glioma", "brats2023"),
        ("BraTS-GLI-02062-100", "glioma-post-treatment", "brats2024"),
        ("BraTS-SSA-00002-000", "glioma", "brats2023"),
        ("BraTS-GoAT-00084", "goat", "brats2023"),
        ("BraTS-MEN-00004-000", "meningioma", "brats2023"),
        ("BraTS-MET-00002-000", "metastases", "brats2023"),
    ],
)
def test_a_name_says_what_a_case_outlines(name: str, label_set: str, scheme: str) -> None:
    found = case_labels(name, scheme="brats2017-2021", declared=None, labelled=True)

    assert (found.label_set, found.scheme, found.fault) == (label_set, scheme, None)


@pytest.mark.parametrize(
    ("name", "declared", "label_set", "scheme"),
    [
        ("BraTS-PED-00002-000", "pediatric", "pediatric", "brats2024-ped"),
        ("BraTS-PED-00002-000", "pediatric-2023", "pediatric-2023", "brats2023"),
        ("BraTS-PED-00002-000", "goat", "pediatric-2023", "brats2023"),
        ("BraTS-MET-00002-000", "metastases-post-treatment", "metastases-post-treatment", "brats2024"),
        # GLI of 2025 numbers examinations before treatment as those of 2023 do.
        ("BraTS-GLI-00002-000", "glioma-post-treatment", "glioma-post-treatment", "brats2024"),
        ("BraTS20_Training_001", "glioma-post-treatment", "glioma", "brats2017-2021"),
        # Names of no release say nothing of the disease.
        ("PAT_0001", "meningioma", "meningioma", "brats2017-2021"),
        ("PAT_0001", "glioma-post-treatment", "glioma", "brats2017-2021"),
    ],
)
def test_a_declaration_says_what_a_name_cannot(name: str, declared: str, label_set: str, scheme: str) -> None:
    found = case_labels(name, scheme="brats2017-2021", declared=declared, labelled=True)

    assert (found.label_set, found.scheme, found.fault) == (label_set, scheme, None)


@pytest.mark.parametrize(
    ("name", "declared", "said"),
    [
        ("BraTS-PED-00002-000", None, "set acquire.naming.label_set to pediatric-2023 or pediatric"),
        ("BraTS-MEN-00004-000", "glioma", "is of meningioma, which acquire.naming.label_set glioma does not include"),
        ("BraTS-GLI-02062-100", "glioma", "is of glioma-post-treatment, which acquire.naming.label_set glioma does"),
        ("BraTS20_Training_001", "pediatric", "is of glioma, which acquire.naming.label_set pediatric does not"),
    ],
)
def test_a_case_of_another_label_set_is_refused_by_name(name: str, declared: str | None, said: str) -> None:
    found = case_labels(name, scheme="brats2017-2021", declared=declared, labelled=True)

    assert found.fault is not None
    assert found.fault.startswith(name)
    assert said in found.fault


def test_a_cohort_that_mixes_label_sets_has_to_say_so() -> None:
    treated = [("BraTS-GLI-00001-000", "glioma"), ("BraTS-GLI-00001-100", "glioma-post-treatment")]
    others = [("BraTS-GLI-00001-000", "glioma"), ("BraTS-PED-00001-000", "pediatric")]

    with pytest.raises(ValueError, match="label_set=glioma-post-treatment to learn from all of them, or make a cohort"):
        cohort_label_set(treated, None)
    with pytest.raises(
        ValueError, match=r"mixes glioma \(BraTS-GLI-00001-000\) and pediatric .*: make a cohort of each"
    ):
        cohort_label_set(others, None)
    assert cohort_label_set(treated, "glioma-post-treatment") is POST
    assert cohort_label_set(treated[:1], None) is GLIOMA
    assert cohort_label_set([], None) is GLIOMA


def test_before_treatment_the_cavity_is_known_to_be_empty_and_in_an_unknown_state_it_is_not_known() -> None:
    assert unknown_regions("BraTS20_Training_001", "glioma", POST) == []
    assert unknown_regions("PAT_0001", "glioma", POST) == ["RC"]
    assert unknown_regions("BRATS_001", "glioma", POST) == ["RC"]
    assert unknown_regions("PAT_0001", "glioma-post-treatment", POST) == []


def test_a_model_refuses_what_a_name_excludes_and_flags_what_it_leaves_open() -> None:
    assert "its name says after treatment" in (misfit("BraTS-GLI-00001-100", GLIOMA) or "")
    assert "the model is of glioma: score it by a model of meningioma" in (misfit("BraTS-MEN-00001-000", GLIOMA) or "")
    assert misfit("BraTS-GLI-00001-100", POST) is misfit("BraTS-GLI-00001-000", POST) is None
    assert misfit("BraTS-MEN-00001-000", LABEL_SETS["goat"]) is misfit("PAT_0001", GLIOMA) is None

    assert treatment_flags("PAT_0001", GLIOMA)
    assert treatment_flags("BraTS-MET-00001-000", LABEL_SETS["metastases"])
    assert treatment_flags("PAT_0001", POST) == treatment_flags("BraTS20_Validation_001", GLIOMA) == []


def test_a_predicted_label_map_is_written_in_a_scheme_that_has_all_its_labels() -> None:
    written = {
        (name, label_set): writing_scheme(name, scheme, LABEL_SETS[label_set])
        for name, scheme, label_set in [
            ("BraTS20_Validation_001", "brats2017-2021", "glioma"),
            ("BraTS20_Validation_001", "brats2017-2021", "glioma-post-treatment"),
            ("BraTS-GLI-00001-000", "brats2023", "glioma-post-treatment"),
            ("BraTS-PED-00001-000", "brats2024-ped", "pediatric-2023"),
        ]
    }

    assert list(written.values()) == ["brats2017-2021", "brats2024", "brats2024", "brats2023"]


def test_the_page_of_labels_has_every_row_of_the_declared_tables() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/labels.md").read_text()

    def quoted(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    rows = [f"| {label} | {value} | {TITLES[label]} |" for label, value in VALUES.items()]
    rows += [f"| {region} | {', '.join(of)} | {REMAINDERS[region]} |" for region, of in UNIONS.items()]
    for one in LABEL_SETS.values():
        row = f"| `{one.name}` | {one.title} | {', '.join(one.labels)} | {', '.join(one.regions)} | "
        rows.append(f"{row}{quoted(one.includes)} |".replace("|  |", "| |"))
    for scheme, stored in STORED.items():
        values = ", ".join(f"{label} {value}" for label, value in stored.items())
        rows.append(f"| `{scheme}` | {RELEASES[scheme]} | {values} |")
    rows += [f"| {series} | `{name}` | `{scheme}` |" for series, of in SERIES.items() for name, scheme in of.items()]
    assert [row for row in rows if row not in page] == []


def test_each_series_has_label_sets_and_schemes_that_are_declared_and_fit() -> None:
    for of in SERIES.values():
        for name, scheme in of.items():
            assert LABEL_SETS[name].labels.keys() == SCHEMES[scheme].values.keys()
