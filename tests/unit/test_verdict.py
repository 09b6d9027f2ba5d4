"""The verdict of the gate as a person reads it."""

from typing import Any

from brats_ml.reports.verdict import Candidate, Picture, promoted, verdict_markdown

SEGMENTATION: dict[str, Any] = {
    "model": "brats-segmentation", "version": 2, "champion": 1, "approval": False, "verdict": "PROMOTE",
    "reasons": ["it is better"],
    "measured": {
        "candidate": {"WT": 0.9}, "champion": {"WT": 0.8}, "difference": {"WT": 0.1}, "against": "the champion",
        "cases": 12, "looks": 3, "fresh": 4, "left_out": 0,
    },
}  # fmt: skip
HELD: dict[str, Any] = SEGMENTATION | {"model": "brats-survival", "verdict": "HOLD"}
RUN, CARD = "http://mlflow/#/runs/1", "http://mlflow/#/models/brats-segmentation/versions/2"


def markdown(**candidate: Any) -> str:
    shown = Candidate("recipe regions2d, preset balanced", "trained on real patients", **candidate)
    return verdict_markdown({"segmentation": SEGMENTATION, "survival": HELD}, {"segmentation": shown})


def test_a_model_that_is_held_is_not_named() -> None:
    assert promoted({"segmentation": SEGMENTATION, "survival": HELD}) == ["brats-segmentation v2"]
    assert "survival" not in markdown()


def test_a_section_says_what_the_model_replaces_its_scores_with_their_unit_and_the_looks() -> None:
    text = markdown()

    assert "- recipe regions2d, preset balanced; replaces v1" in text
    assert "Mean Dice of each region, from 0 to 1; more is better. On 12 locked patient(s)" in text
    assert "| WT | 0.900 | 0.800 | +0.100 |" in text
    assert "Up to 3 other model(s) were judged on these patients" in text


def test_a_section_links_to_the_run_and_the_card_and_shows_the_pictures_with_links() -> None:
    ranks = ("best", "median", "worst")
    pictures = [Picture(rank, f"P_{rank}", f"http://mlflow/{rank}", f"http://mlflow/{rank}.png") for rank in ranks]

    text = markdown(links={"MLflow run": RUN, "model card": CARD}, pictures=pictures)

    assert f"[MLflow run]({RUN}), [model card]({CARD})" in text
    for rank in ranks:
        assert f"[{rank}: `P_{rank}`](http://mlflow/{rank})" in text
        assert f"(http://mlflow/{rank}.png)](http://mlflow/{rank})" in text
