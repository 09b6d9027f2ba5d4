"""The page of a run's results, which Airflow shows as a tab."""

from brats_ml.orchestration.dag.run_page import render
from brats_ml.orchestration.runs.outcomes import Outcome

REPORT = "http://127.0.0.1:5000/#/experiments/1/runs/r/artifacts/reports/index.html?workflowType=machine_learning"


def test_the_page_links_to_mlflow_and_report_and_has_each_task_s_sentence() -> None:
    page = render("brats_train", "manual__1", {"publish": Outcome("2 models registered", links={"Report": REPORT})})

    assert page.count(f'href="{REPORT}"') == 2
    assert ">2 models registered<" in page


def test_a_folder_of_predictions_is_shown_as_it_is_and_no_other_address_is_a_link() -> None:
    links = {"Predictions": "/data/predictions", "Other": "javascript:alert(1)"}
    page = render("brats_score", "manual__1", {"table": Outcome("table: 4 cases", links=links)})

    assert "<code>/data/predictions</code>" in page
    assert "href" not in page


def test_an_alarm_is_above_the_table_and_fails_nothing() -> None:
    said = "drift: ALARM: 12 new cases differ"
    page = render("brats_score", "manual__1", {"drift": Outcome(said, details={"alarm": True})})
    calm = render("brats_score", "manual__1", {"drift": Outcome("drift: as before", details={"alarm": False})})

    assert page.index(f'<p class="alarm" role="alert">{said}</p>') < page.index("<table>")
    assert f'<td class="alarm">{said}</td>' in page
    assert 'class="alarm"' not in calm


def test_no_text_of_a_task_becomes_markup() -> None:
    page = render("d", "<b>", {"t": Outcome("<script>", error="DataError", links={"<i>": 'https://x/"><i>'})})

    assert "<script>" not in page
    assert "<i>" not in page
    assert "<b>" not in page


def test_a_run_without_results_says_so() -> None:
    assert "No task of this run has reported a result yet." in render("brats_train", "manual__1", {})
