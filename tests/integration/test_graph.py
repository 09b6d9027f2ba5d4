"""A mistake in dvc.yaml ends in one sentence, and the difference of two graphs is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.dvc_graph import read_graph
from brats_ml.orchestration.dag.graph import Graph, Node, Policy, difference, union, without


def repository(folder: Path, pipeline: str) -> Path:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(pipeline)
    return folder


def graph(**needs: tuple[str, ...]) -> Graph:
    return {address: Node(address, waits, Policy(), "", "") for address, waits in needs.items()}


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("{retry: 2}", r"stage a, meta\.airflow\.retry: unknown key"),
        ("{retries: -1}", r"stage a, meta\.airflow\.retries: must be at least 0"),
        ("{timeout_minutes: soon}", r"stage a, meta\.airflow\.timeout_minutes: .*number"),
        ("{timeout_minutes: .inf}", r"stage a, meta\.airflow\.timeout_minutes: must be at most"),
        ("gpu", r"stage a, meta\.airflow: "),
        ("{links: [Wiki]}", r"stage a, meta\.airflow\.links\.0: .*MLflow"),
    ],
)
def test_a_wrong_policy_names_its_stage_and_key(tmp_path: Path, declared: str, sentence: str) -> None:
    repository(tmp_path, f"stages: {{a: {{cmd: x, meta: {{airflow: {declared}}}}}}}")

    with pytest.raises(ConfigError, match=sentence):
        read_graph(tmp_path)


@pytest.mark.parametrize(
    ("pipeline", "sentence"),
    [
        ("stages: {a: {cmd: x, deps: [q], outs: [p]}, b: {cmd: x, deps: [p], outs: [q]}}", "both a dependency"),
        ("stages: {a: {cmd: x, outs: [p]}, b: {cmd: x, outs: [p]}}", "output 'p' is specified in"),
        ("stages: {a: {deps: [p]}}", "dvc.yaml"),
        ("stages: {a: [", "dvc.yaml"),
    ],
)
def test_a_pipeline_that_dvc_refuses_is_refused_in_its_words(tmp_path: Path, pipeline: str, sentence: str) -> None:
    repository(tmp_path, pipeline)

    with pytest.raises(ConfigError, match=sentence):
        read_graph(tmp_path)


def test_meta_that_is_not_for_airflow_is_left_alone(tmp_path: Path) -> None:
    repository(tmp_path, "stages: {a: {cmd: x, meta: gpu}}")

    assert read_graph(tmp_path)["a"].policy == Policy()


def test_only_items_of_a_stage_are_items(tmp_path: Path) -> None:
    """A tracked file or a folder may have the sign in its name too."""
    repository(tmp_path, "stages: {a: {foreach: ['x:y'], do: {cmd: 'echo ${item}'}}}")
    for name in ("photo@2x.png", "@data.csv"):
        (tmp_path / name).write_text(name)
        subprocess.run([sys.executable, "-m", "dvc", "add", "-q", name], cwd=tmp_path, check=True)

    found = {address: (node.stage, node.item) for address, node in read_graph(tmp_path).items()}

    assert found == {
        "a@x:y": ("a", "x:y"),
        "photo@2x.png.dvc": ("photo@2x.png.dvc", None),
        "@data.csv.dvc": ("@data.csv.dvc", None),
    }


@pytest.mark.parametrize("found", [graph(b=("a",), a=()), graph(a=(), b=())])
def test_equal_graphs_and_one_that_waits_for_less_do_not_differ(found: Graph) -> None:
    assert difference(graph(a=(), b=("a",)), found) is None


def test_a_union_has_every_edge_and_its_nodes_come_after_what_they_wait_for() -> None:
    both = union([graph(a=(), c=("a",)), graph(b=(), a=("b",), c=())])

    assert {address: node.needs for address, node in both.items()} == {"b": (), "a": ("b",), "c": ("a",)}
    assert list(both) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (graph(a=()), "it has no stage b"),
        (graph(a=(), b=("a",), c=()), "it also has stage c"),
        (graph(a=("b",), b=()), "its stage a also waits for b"),
    ],
)
def test_the_first_difference_is_named(found: Graph, sentence: str) -> None:
    assert difference(graph(a=(), b=("a",)), found) == sentence


def test_a_graph_without_a_node_has_no_edge_to_it() -> None:
    rest = without(graph(a=(), b=(), c=("a", "b")), frozenset({"b"}))

    assert {address: node.needs for address, node in rest.items()} == {"a": (), "c": ("a",)}
