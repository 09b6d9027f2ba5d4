"""A kept graph is that of DVC, whatever changed; what cannot be kept costs a reading and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.orchestration.dag import kept
from brats_ml.orchestration.dag.dvc_graph import read_graph
from brats_ml.orchestration.dag.graph import Graph
from brats_ml.orchestration.dag.graph_files import Reads

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = """
vars: [more.toml, more.json, {own: [u]}]
stages:
  a: {matrix: {item: "${items}"}, cmd: "x ${item.item} ${toml} ${json}", outs: ["a/${item.item}"]}
  b: {foreach: "${own}", do: {wdir: "${place}", vars: [own.yaml], cmd: "x ${stage}", outs: ["b-${item}"]}}
  c: {cmd: "x ${list} ${yes}", deps: [tracked], outs: [data/c]}
"""
FILES = {
    ".dvc/config": "[core]\n    no_scm = True\n",
    ".dvcignore": "# none\n",
    "dvc.yaml": PIPELINE,
    "params.yaml": "items: [p, q]\nplace: here\nlist: {one: [1, 2]}\nyes: {two: true}\n",
    "more.toml": 'toml = "1"\n',
    "more.json": '{"json": 1}',
    "here/own.yaml": "stage: 1\n",
    "there/own.yaml": "stage: 2\n",
    "below/deep/dvc.yaml": "stages: {d: {cmd: x, deps: [../../data/c], outs: [d]}}\n",
    "tracked.dvc": "outs: [{path: tracked, md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5, size: 0}]\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository that reads files of all kinds."""
    monkeypatch.setenv("BRATS_STATE", str(tmp_path / "state"))
    return repository(tmp_path / "root")


def repository(root: Path) -> Path:
    for name, text in FILES.items():
        put(root, name, text)
    return root


def put(root: Path, name: str, text: str | None) -> None:
    path = root / name
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def counting() -> tuple[Callable[[Path, Reads], Graph], list[Path]]:
    """Return a reader of graphs, and where it notes each reading."""
    readings: list[Path] = []

    def read(root: Path, reads: Reads) -> Graph:
        readings.append(root)
        return read_graph(root, reads=reads)

    return read, readings


def kept_files(root: Path) -> list[Path]:
    return list((root.parent / "state/parsed").iterdir())


def test_a_graph_is_read_once_and_the_kept_one_is_equal_in_every_value_and_in_order(root: Path) -> None:
    read, readings = counting()

    graphs = [kept.kept_graph(root, read) for _ in range(3)]

    assert len(readings) == 1
    assert [list(graph.items()) for graph in graphs] == [list(read_graph(root).items())] * 3


def test_a_copy_of_the_repository_elsewhere_finds_the_graph(root: Path) -> None:
    read, readings = counting()

    assert kept.kept_graph(root, read) == kept.kept_graph(repository(root.parent / "other"), read)
    assert readings == [root]


CHANGES = {
    "a stage": {"dvc.yaml": PIPELINE.replace("c:", "e:")},
    "a policy": {"dvc.yaml": PIPELINE.replace('cmd: "x ${list}', 'meta: {airflow: {pool: gpu}}, cmd: "x ${list}')},
    "a parameter": {"params.yaml": "items: [p, r]\nplace: here\nlist: {one: [1, 2]}\nyes: {two: true}\n"},
    "the folder of a stage": {"params.yaml": "items: [p, q]\nplace: there\nlist: {one: [1, 2]}\nyes: {two: true}\n"},
    "a file of TOML": {"more.toml": 'toml = "2"\n'},
    "a file of JSON": {"more.json": '{"json": 2}'},
    "the variables of a stage": {"here/own.yaml": "stage: 3\n"},
    "a pipeline below": {"below/deep/dvc.yaml": "stages: {f: {cmd: x, outs: [f]}}\n"},
    "a pipeline that goes": {"below/deep/dvc.yaml": None},
    "a new pipeline": {"new/dvc.yaml": "stages: {g: {cmd: x, outs: [g]}}\n"},
    "a new parameter file below": {"below/deep/params.yaml": "n: 1\n"},
    "a tracked file": {"tracked.dvc": FILES["tracked.dvc"].replace("path: tracked", "path: other")},
    "a new tracked file": {"below/more.dvc": FILES["tracked.dvc"].replace("path: tracked", "path: more")},
    "a folder that DVC shall ignore": {".dvcignore": "/below/\n"},
    "a file that DVC shall ignore": {"below/.dvcignore": "dvc.yaml\n"},
    "a folder that becomes a repository": {"below/.dvc/config": ""},
    "how DVC writes lists": {".dvc/config": "[core]\n    no_scm = True\n[parsing]\n    list = append\n"},
    "how DVC writes booleans here": {".dvc/config.local": "[parsing]\n    bool = boolean_optional\n"},
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=list(CHANGES))
def test_every_change_is_seen_at_once(root: Path, changed: dict[str, str | None]) -> None:
    read, readings = counting()
    kept.kept_graph(root, read)
    for name, text in changed.items():
        put(root, name, text)

    assert kept.kept_graph(root, read) == read_graph(root)
    assert len(readings) == 2


def test_settings_of_the_user_are_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(root.parent / "user"))
    read, readings = counting()
    kept.kept_graph(root, read)
    kept.kept_graph(repository(root.parent / "elsewhere/other"), read)
    assert len(readings) == 1
    put(root.parent / "user", "config", "[parsing]\n    bool = boolean_optional\n")

    assert kept.kept_graph(root, read) == read_graph(root)
    assert len(readings) == 2


@pytest.mark.parametrize(
    "added",
    [
        "data/c/dvc.yaml.txt",
        "below/code.py",
        "dvc.lock.txt",
        ".git/hooks/dvc.yaml",
        "here/data.json",
        "inbox/one/t1.nii",
    ],
)
def test_files_that_dvc_does_not_read_cost_no_reading(root: Path, added: str) -> None:
    read, readings = counting()
    kept.kept_graph(root, read)
    put(root, added, "stages: {h: {cmd: x}}")

    kept.kept_graph(root, read)

    assert len(readings) == 1


def test_folders_that_git_ignores_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave whole clones with a dvc.yaml in ignored folders."""
    monkeypatch.setenv("BRATS_STATE", str(tmp_path / "state"))
    root = repository(tmp_path / "root")
    (root / ".dvc/config").write_text("")
    (root / ".gitignore").write_text("/clones/\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    read, readings = counting()
    kept.kept_graph(root, read)
    put(root, "clones/one/dvc.yaml", FILES["dvc.yaml"])
    kept.kept_graph(root, read)
    assert len(readings) == 1

    (root / ".gitignore").write_text("/nothing/\n")
    put(root, "clones/one/dvc.yaml", "stages: {i: {cmd: x, outs: [i]}}\n")

    assert "clones/one/dvc.yaml:i" in kept.kept_graph(root, read)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"graph": [], "files": {}}', b"\xff\xfe", None])
def test_a_damaged_file_is_read_again_and_replaced(root: Path, content: bytes | None) -> None:
    read, readings = counting()
    graph = kept.kept_graph(root, read)
    [path] = kept_files(root)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)

    assert kept.kept_graph(root, read) == kept.kept_graph(root, read) == graph
    assert len(readings) == 2


def test_a_state_that_cannot_be_written_costs_only_the_reading(root: Path) -> None:
    (root.parent / "state").write_text("no folder")
    read, readings = counting()

    assert kept.kept_graph(root, read) == kept.kept_graph(root, read) == read_graph(root)
    assert len(readings) == 2


@pytest.mark.parametrize("late", ["params.yaml", "more.toml", "dvc.yaml", "below/deep/dvc.yaml", "new/dvc.yaml"])
def test_a_file_that_changes_while_dvc_reads_is_seen_at_the_next_parse(root: Path, late: str) -> None:
    text = FILES.get(late, "stages: {g: {cmd: x, outs: [g]}}\n")

    def read(folder: Path, reads: Reads) -> Graph:
        graph = read_graph(folder, reads=reads)
        put(
            root,
            late,
            text.replace("cmd: x", "cmd: y").replace('"x $', '"y $').replace("q]", "r]").replace('"1"', '"2"'),
        )
        return graph

    kept.kept_graph(root, read)

    assert kept.kept_graph(root, counting()[0]) == read_graph(root)
    assert kept.kept_graph(root, read) == read_graph(root)


PROGRAM = """
import json, sys
from pathlib import Path
from brats_ml.orchestration.dag import kept
graph = kept.kept_graph(Path(sys.argv[1]))
print(json.dumps([list(graph), "dvc" in sys.modules]))
"""


def started(root: Path, **variables: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | variables
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(root)], env=environment, stdout=-1, text=True)


def answer(process: "subprocess.Popen[str]") -> tuple[list[str], bool]:
    printed, _ = process.communicate()
    addresses, imported = json.loads(printed)
    return addresses, imported


@pytest.mark.slow
def test_two_processes_at_once_get_the_graph_and_the_next_one_needs_no_dvc(root: Path) -> None:
    expected = list(read_graph(root))

    assert [answer(process) for process in [started(root), started(root)]] == [(expected, True)] * 2
    assert answer(started(root)) == (expected, False)
    assert len(kept_files(root)) == 1


@pytest.mark.slow
def test_another_version_of_dvc_reads_again(root: Path) -> None:
    expected = answer(started(root))[0]
    other = root.parent / "other/dvc-99.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: dvc\nVersion: 99.0\n")

    assert answer(started(root, PYTHONPATH=f"{other.parent}{os.pathsep}{ROOT}")) == (expected, True)


def test_parameters_are_parsed_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRATS_STATE", str(tmp_path / "state"))
    text = (ROOT / "params.yaml").read_text()
    put(tmp_path, "root/params.yaml", text)
    first = kept.kept_params(tmp_path / "root")
    [path] = kept_files(tmp_path / "root")
    assert kept.kept_params(tmp_path / "root") == first

    path.write_text(path.read_text().replace("baseline_mini", "damaged"))
    assert kept.kept_params(tmp_path / "root") == first

    put(tmp_path, "root/params.yaml", text.replace("approval_hours: ", "approval_hours: 1"))
    assert kept.kept_params(tmp_path / "root").orchestration != first.orchestration


TEXTS = {
    name: [text, None, *(change[name] for change in CHANGES.values() if name in change)] for name, text in FILES.items()
}
STEP = st.sampled_from(sorted({(name, text) for name, texts in TEXTS.items() for text in texts}, key=repr))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=6))
def test_any_sequence_of_changes_gives_what_dvc_gives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("sequence")
    root = repository(folder / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRATS_STATE", str(folder / "state"))
        for name, text in steps:
            put(root, name, text)
            assert outcome(kept.kept_graph, root) == outcome(read_graph, root)


def outcome(read: Callable[[Path], Graph], root: Path) -> list[object]:
    try:
        return list(read(root).items())
    except Exception as error:  # DVC refuses some sequences; then the kept graph is refused too
        return [type(error)]
