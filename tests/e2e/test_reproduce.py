"""Versions come out the same from their own code, data and parameters, and one changed byte of any of them is named."""

import json
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.dvc_cache import DvcCache
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.version import LOCK_DIGEST, PARAMS_DIGEST, PIPELINE
from brats_ml.dvc_lock import stages
from brats_ml.files import digest_file, file_digests
from brats_ml.workspace.state import State
from tests.e2e.checkout import Checkout
from tests.e2e.conftest import GIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SEGMENTATION, SURVIVAL = "brats-segmentation", "brats-survival"
TRAINED = "models/segmentation/baseline_mini"


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout with a champion of each model. A test leaves it as it was."""
    checkout = make_checkout("recipes.baseline_mini.epochs=2")
    checkout.dvc("repro")
    for action in ("publish", "gate", "promote"):
        checkout.brats(action)
    return checkout


@pytest.fixture(scope="module")
def client(checkout: Checkout) -> MlflowClient:
    return MlflowClient(embedded_store(State(checkout.root / ".brats")))


def tags(client: MlflowClient) -> dict[str, str]:
    return dict(client.get_model_version(SEGMENTATION, "1").tags)


def artifact(client: MlflowClient, name: str) -> Path:
    """Return a file of the run of the checkout in the store."""
    run = client.get_run(tags(client)[PIPELINE])
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def registered(client: MlflowClient) -> Path:
    """Return the folder of the registered model in the store."""
    (found,) = Path(client.get_model_version_download_uri(SEGMENTATION, "1").removeprefix("file://")).glob("data/*")
    return found


def cached(checkout: Checkout, stage: str, out: str, name: str) -> Path:
    """Return the path in DVC's cache of the first file of an out that has this end."""
    cache = DvcCache(checkout.root)
    files = cache.files(stages(checkout.root)[stage].outs[out])
    assert files is not None
    return cache.path(next(md5 for file, md5 in sorted(files.items()) if file.endswith(name)))


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes] | None = None) -> Iterator[None]:
    """Change one byte of a file, or what `change` says, in this context; its permissions stay."""
    content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    middle = len(content) // 2
    new = change(content) if change else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    assert new != content

    def write(value: bytes) -> None:
        path.chmod(0o600)
        path.write_bytes(value)
        path.chmod(mode)

    write(new)
    try:
        yield
    finally:
        write(content)


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Move a file or folder away in this context."""
    hidden = path.with_name(f"{path.name}.away")
    path.rename(hidden)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
        hidden.rename(path)


def reproduced(checkout: Checkout, *options: str, status: int = 0) -> str:
    """Return the output of a reproduction; it leaves no folder unless something is kept."""
    output = checkout.brats("reproduce", *options, status=status)
    if "--keep" not in options:
        assert list((checkout.root / ".brats/workspaces/reproduce").glob("*")) == []
    return output


def user_files(checkout: Checkout) -> dict[str, Any]:
    """Return what a reproduction must not change: files of the checkout, the ledger, and the registry's files."""
    ignored = {".git", ".brats", ".dvc"}
    own = {
        str(path.relative_to(checkout.root)): digest_file(path)
        for path in sorted(checkout.root.rglob("*"))
        if path.is_file() and path.relative_to(checkout.root).parts[0] not in ignored and path.suffix != ".pyc"
    }
    state = checkout.root / ".brats"
    kept = {name: file_digests(state / name) for name in ("mlflow/artifacts", "checkpoints", "golden")}
    return {"own": own, "ledger": (state / "ledger.jsonl").read_text(), **kept}


def test_the_champion_is_reproduced_to_the_bit_and_nothing_of_the_user_changes(
    checkout: Checkout, client: MlflowClient
) -> None:
    before, runs = user_files(checkout), len(client.search_runs(["0", "1"]))

    output = reproduced(checkout, "champion")

    assert output.splitlines()[-1] == (
        f"reproduce: {SEGMENTATION} v1 is reproduced: 4 results of evaluate@baseline_mini are equal to the bit"
    )
    assert "\nchanged" not in output
    assert user_files(checkout) == before
    assert len(client.search_runs(["0", "1"])) == runs


def test_a_training_gives_the_same_weights_and_the_same_evaluation(checkout: Checkout) -> None:
    output = reproduced(checkout, "1", "--train", "--keep")

    folder = checkout.root / f".brats/workspaces/reproduce/{SEGMENTATION}-v1"
    assert f"unchanged  result: {TRAINED} (of train@baseline_mini, equal to the bit)" in output
    assert "6 results of train@baseline_mini, evaluate@baseline_mini are equal to the bit" in output
    assert output.splitlines()[-1].endswith(f"; it is in {folder}")
    assert digest_file(folder / TRAINED / "model.keras") == digest_file(checkout.root / TRAINED / "model.keras")
    shutil.rmtree(folder)


def test_a_survival_model_is_fitted_again_to_the_bit(checkout: Checkout) -> None:
    output = reproduced(checkout, "champion", "--model", SURVIVAL)

    assert f"{SURVIVAL} v1 is reproduced: 2 results of survival@" in output


def test_a_changed_byte_of_a_scan_in_the_cache_is_named(checkout: Checkout) -> None:
    scan = cached(checkout, "acquire", "data/raw", "_t1ce.nii.gz")
    with changed(scan):
        output = reproduced(checkout, "1", status=1)

    assert "the first input that is changed is data/raw/BraTS20_Training_" in output
    assert str(scan) in output


def test_a_changed_byte_of_the_trained_network_in_the_cache_is_named(checkout: Checkout) -> None:
    network = cached(checkout, "train@baseline_mini", TRAINED, "model.keras")
    with changed(network):
        output = reproduced(checkout, "1", status=1)

    assert f"the first input that is changed is {TRAINED}/model.keras (data): {network}" in output


def test_a_changed_byte_of_a_table_that_only_the_split_read_is_named(checkout: Checkout) -> None:
    table = cached(checkout, "acquire", "data/tables", "survival_info.csv")
    with changed(table):
        output = reproduced(checkout, "1", status=1)

    assert f"the first input that is changed is data/tables/survival_info.csv (data): {table}" in output


def test_a_changed_byte_of_a_result_of_before_is_named_and_not_used(checkout: Checkout) -> None:
    with changed(cached(checkout, "evaluate@baseline_mini", "evaluation/validation/baseline_mini", "cases.csv")):
        output = reproduced(checkout, "1")

    assert output.splitlines()[-1].endswith(
        "equal to the bit; what differs here and was not used: evaluation/validation/baseline_mini/cases.csv"
    )


def test_a_changed_byte_of_the_registered_network_is_named(checkout: Checkout, client: MlflowClient) -> None:
    with changed(registered(client) / "model.keras"):
        output = reproduced(checkout, "1", status=1)

    assert f"model.keras in {registered(client)} of {SEGMENTATION} v1 is not what was registered" in output


def test_a_changed_parameter_in_mlflow_is_named_by_its_key(checkout: Checkout, client: MlflowClient) -> None:
    with changed(artifact(client, "params.yaml"), lambda text: text.replace(b"size: 16", b"size: 17")):
        output = reproduced(checkout, "1", status=1)

    run_id = tags(client)[PIPELINE]
    assert f"params.yaml of run {run_id} in MLflow is not what was logged (recipes.baseline_mini.size: 16 -> 17)" in (
        output
    )


def test_a_changed_byte_of_dvc_lock_in_mlflow_is_named(checkout: Checkout, client: MlflowClient) -> None:
    with changed(artifact(client, "dvc.lock")):
        output = reproduced(checkout, "1", status=1)

    assert f"dvc.lock of run {tags(client)[PIPELINE]} in MLflow is not what was logged" in output


def test_a_file_that_mlflow_has_lost_is_named(checkout: Checkout, client: MlflowClient) -> None:
    with away(artifact(client, "dvc.lock")):
        output = reproduced(checkout, "1", status=1)

    assert f"dvc.lock of run {tags(client)[PIPELINE]} is gone from MLflow" in output


def test_changes_in_the_checkout_are_named_and_not_used(checkout: Checkout) -> None:
    scan = sorted((checkout.root / "data/raw").glob("*/*_flair.nii.gz"))[0]
    linked = scan.with_name("linked")
    scan.rename(linked)
    shutil.copy(linked, scan)  # a byte changed in place would change DVC's cache
    code = checkout.root / "brats_ml/imaging/geometry.py"
    try:
        with changed(scan), changed(code, lambda text: text + b"\n"):
            checkout.brats("set", "evaluate.figures=1")
            output = reproduced(checkout, "1")
    finally:
        checkout.brats("set", "evaluate.figures=3")
        linked.replace(scan)

    assert "is reproduced: 4 results of evaluate@baseline_mini are equal to the bit; what" in output
    assert output.splitlines()[-1].endswith(
        "what differs here and was not used: brats_ml/imaging/geometry.py, evaluate.figures: 3 -> 1, "
        f"{scan.relative_to(checkout.root)}"
    )


def test_what_the_cache_has_lost_is_made_again_and_compared(checkout: Checkout) -> None:
    """Nobody pushes preprocessed cases; the cohort comes from its source, and the network from the registry."""
    lost = [
        cached(checkout, "acquire", "data/raw", "_t1ce.nii.gz"),
        cached(checkout, "preprocess", "data/preprocessed", "index.json"),
        cached(checkout, "train@baseline_mini", TRAINED, "model.keras"),
    ]
    with away(lost[0]), away(lost[1]), away(lost[2]):
        output = reproduced(checkout, "1")

    assert "unchanged  data: data/raw (not in DVC's cache; made again by acquire)" in output
    assert "unchanged  data: data/preprocessed (not in DVC's cache; made again by preprocess)" in output
    assert f"unchanged  data: {TRAINED} (not in DVC's cache; from the registry)" in output
    assert "is reproduced" in output.splitlines()[-1]


def test_what_the_cache_has_lost_comes_from_the_remote(checkout: Checkout) -> None:
    checkout.dvc("push", "-q")
    with away(checkout.root / ".dvc/cache"):
        output = reproduced(checkout, "1")

    assert re.search(r"unchanged  data: data/raw \(\d+ file\(s\) in DVC's cache\)", output)
    assert "is reproduced" in output.splitlines()[-1]


def test_the_result_is_json_for_programs(checkout: Checkout) -> None:
    output = checkout.brats("reproduce", "champion", "--json")

    found = json.loads(output[output.index("\n{") :])
    assert "is reproduced" in found["summary"]
    assert found["parts"]


def test_a_commit_that_is_gone_and_versions_that_do_not_exist_end_in_a_sentence(
    checkout: Checkout, tmp_path: Path
) -> None:
    other = Checkout(checkout.root, {**checkout.environment, "BRATS_REPOSITORY": str(tmp_path)})
    other.run(*GIT, "init", "-q", str(tmp_path))
    other.run(*GIT, "-C", str(tmp_path), "commit", "-q", "--allow-empty", "-m", "other")

    assert f"which {tmp_path} does not have" in reproduced(other, "1", status=1)
    assert f"{SEGMENTATION} v7 is not in MLflow at " in reproduced(checkout, "7", status=1)
    assert "latest is not the number of a version, and not `champion`" in reproduced(checkout, "latest", status=1)
    assert "did you mean brats-segmentation" in reproduced(checkout, "1", "--model", "brats-segmentatio", status=1)


def test_a_second_publish_keeps_the_inputs_that_the_version_was_made_from(
    checkout: Checkout, client: MlflowClient
) -> None:
    checkout.brats("set", "orchestration.keep_days=15")
    checkout.brats("publish")
    checkout.brats("set", "orchestration.keep_days=14")

    assert digest_file(artifact(client, "params.yaml")) == tags(client)[PARAMS_DIGEST]
    assert digest_file(artifact(client, "dvc.lock")) == tags(client)[LOCK_DIGEST]


def test_a_version_of_uncommitted_code_cannot_be_reproduced_and_the_file_is_named(
    checkout: Checkout, client: MlflowClient
) -> None:
    """The last test, since it adds a version."""
    code = checkout.root / "brats_ml/segmentation/training/baseline.py"
    with changed(code, lambda text: text + b"\nANOTHER = 1\n"):
        checkout.brats("set", "train.seed=1")
        checkout.dvc("repro")
        checkout.brats("publish")
    output = reproduced(checkout, "2", status=1)

    name = "brats_ml/segmentation/training/baseline.py"
    assert json.loads(client.get_model_version(SEGMENTATION, "2").tags["dirty"])
    assert f"the checkout had changes that were not committed: {name}" in output
    assert f"the first input that is changed is {name} (code): train@baseline_mini ran with another one" in output
