import numpy as np

from brats_ml.reports.panels import figure_png
from brats_ml.reports.quarantine import KeptOut, quarantine_page, quarantine_picture


def test_the_picture_has_a_panel_for_every_volume_and_tells_why_one_is_not_there() -> None:
    image = np.random.default_rng(0).normal(size=(8, 9, 10))
    image[2, 2, 5] = np.nan

    figure = quarantine_picture({"flair": image, "t1": "a_t1.nii.gz cannot be read", "seg": image > 1})

    assert [axes.get_title() for axes in figure.axes] == ["flair", "t1", "seg"]
    assert [len(axes.get_images()) for axes in figure.axes] == [1, 0, 1]
    assert figure.axes[1].texts[0].get_text() == "a_t1.nii.gz cannot be read"


def test_anything_with_a_last_axis_can_be_drawn() -> None:
    for volume in (np.zeros((4, 4, 4)), np.full((4, 4, 4), np.inf), np.full((4, 4, 4), 3e38, np.float32)):
        assert figure_png(quarantine_picture({"t1": volume})).startswith(b"\x89PNG")
    assert figure_png(quarantine_picture({})).startswith(b"\x89PNG")


def test_equal_volumes_give_equal_bytes() -> None:
    image = np.random.default_rng(0).normal(size=(8, 9, 10))

    assert figure_png(quarantine_picture({"t1": image})) == figure_png(quarantine_picture({"t1": image}))


def test_the_page_lists_each_case_with_its_reasons_and_picture_and_fetches_nothing() -> None:
    page = quarantine_page([KeptOut("a<b", ["t1 is missing", "t2 is missing"], "0001.png")], cases=7)

    assert "1 of 7 cases are quarantined" in page
    assert "a&lt;b" in page
    assert page.index("t1 is missing") < page.index("t2 is missing") < page.index('src="0001.png"')
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
