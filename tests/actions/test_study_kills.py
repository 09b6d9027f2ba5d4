"""Many studies of a node, each taken there and back by a process that is killed again and again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats_ml.config.edit import override
from brats_ml.workspace import Workspace
from tests.actions.registered_models import copy_workspace, make_champion, own_store
from tests.orthanc_server import IS_INSTALLED, WHY_NOT, orthanc
from tests.phantom_study import PROTOCOLS, write_atlas, write_study

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT)]
ROOT = Path(__file__).parents[2]
SHAPE, VOXEL_MM = (36, 36, 34), 5.0
STUDIES, KILLS = int(os.environ.get("STUDIES", "20")), int(os.environ.get("KILLS", "20"))
# The longest time until a kill; a study takes about as long.
LONGEST_S = 25.0


@pytest.fixture
def command(template: Workspace, small: Any, tmp_path: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Return what starts a `brats study` command in a checkout with a champion."""
    with own_store():
        ws = copy_workspace(template, tmp_path / "checkout")
        make_champion(ws, "segmentation", 2)
    for name in ("params.yaml", "dvc.yaml"):
        (ws.root / name).write_bytes((ROOT / name).read_bytes())
    write_atlas(tmp_path / "atlas", shape=SHAPE, voxel_mm=VOXEL_MM)
    (tmp_path / "key").write_bytes(bytes(range(32)))

    def start(*arguments: str, env: dict[str, str], settings: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        if settings:
            override(ws.params, list(settings))
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "brats_ml", "study", *arguments, "--root", str(ws.root)],
                env=os.environ | env | {"BRATS_PSEUDONYM_KEY_FILE": str(tmp_path / "key"), "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    return start


@pytest.mark.timeout(3600)
def test_each_study_has_one_segmentation_and_one_report_whatever_is_killed(
    command: Callable[..., "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    """One study has no contrast agent, and one has no T2: both are refused by name."""
    seed = time.time_ns() % 10**6
    print("seed", seed)
    chance = np.random.default_rng(seed)
    with orthanc(tmp_path / "orthanc") as server:
        for index in range(STUDIES):
            left_out = {STUDIES - 1: "t1ce", STUDIES - 2: "t2"}.get(index)
            protocols = {name: one for name, one in PROTOCOLS.items() if name != left_out}
            folder = tmp_path / f"scanner/{index}"
            write_study(folder, index=index, shape=SHAPE, voxel_mm=VOXEL_MM, patient=f"P{index}", protocols=protocols)
            server.upload(folder)
        settings = (
            f"study.node.url={server.url}", "study.node.stable_seconds=1.0", "study.preparation.brain=atlas",
            f"study.preparation.atlas={tmp_path / 'atlas'}", f"validate.spacing_mm={VOXEL_MM}",
            "evaluate.runtime=keras",
        )  # fmt: skip
        killed, waiting = 0, None
        for _ in range(STUDIES + KILLS + 5):
            finding = command("find", "--json", env=server.environment, settings=settings)
            names = json.loads(finding.communicate()[0])["studies"]
            if waiting is None and len(names) < STUDIES:
                time.sleep(1.5)
                continue
            waiting = names
            if not names:
                break
            study = tmp_path / "checkout/.brats/studies" / str(chance.choice(names))
            process = command("take", str(study), env=server.environment)
            if killed < KILLS:
                time.sleep(chance.uniform(0, LONGEST_S))
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    killed += 1
            process.communicate()
        results = list(server.results().values())
        refused = list((tmp_path / "checkout/.brats/studies").glob("*/refused.json"))

    assert waiting == []
    assert killed >= min(KILLS, STUDIES) // 2
    whole = [one for one in results if "SEG" in one]
    assert len(results) == STUDIES
    assert len(whole) == STUDIES - 2
    assert all(one["SEG"] == one["SR"] == 1 and sum(one.values()) - one["MR"] == 3 for one in whole)
    assert len(refused) == 2
    reasons = " ".join(path.read_text() for path in refused)
    assert "t1ce" in reasons
    assert "t2" in reasons
