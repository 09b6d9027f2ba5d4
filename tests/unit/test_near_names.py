import pytest

from brats_ml.errors import ConfigError
from brats_ml.near_names import check_known, did_you_mean, question

RECIPES = ["baseline", "baseline_mini", "regions2d", "regions3d"]


@pytest.mark.parametrize(
    ("typed", "end"),
    [
        ("baselin", "; did you mean baseline?"),
        ("Regions3D", "; did you mean regions3d?"),
        ("unet", "; known are: baseline, baseline_mini, regions2d, regions3d"),
    ],
)
def test_a_wrong_name_gets_the_nearest_one_or_all(typed: str, end: str) -> None:
    assert did_you_mean(typed, RECIPES) == end


def test_a_list_that_is_too_long_or_empty_is_not_printed() -> None:
    assert did_you_mean("x", list(range(100))) == ""
    assert did_you_mean("x", []) == ""


def test_two_options_are_not_near_because_of_their_dashes() -> None:
    assert question("--prest", ["--root", "--cases"]) == ""
    assert question("--recpie", ["--root", "--recipe"]) == "; did you mean --recipe?"


def test_an_unknown_name_is_refused_with_its_key() -> None:
    check_known("fast", ["fast", "best"], what="preset", key="--preset")

    with pytest.raises(ConfigError, match=r"^preset bset is unknown; did you mean best\?$") as raised:
        check_known("bset", ["fast", "best"], what="preset", key="--preset")

    assert raised.value.key == "--preset"
