"""A registered model in an environment of its own requirements and code, where brats_ml is not installed."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from brats_ml.actions import sample_inbox, score
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.config import Params
from brats_ml.workspace import Workspace
from tests.actions.registered_models import TRAINED, make_champion, own_store, register_whole
from tests.environments import python_or_skip

PROGRAM = """
import json, sys
from importlib.util import find_spec
assert find_spec("brats_ml") is None, "brats_ml is installed here"
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/brats-segmentation@champion")
import brats_ml
found = model.predict(pd.DataFrame(json.loads(sys.argv[2])))
print(json.dumps({"code": brats_ml.__file__, "rows": json.loads(found.to_json(orient="records"))}))
"""


@pytest.mark.slow
def test_a_model_of_its_own_requirements_and_code_predicts_what_scoring_predicts(
    tmp_path: Path, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    params, ws = make_params({}), Workspace(tmp_path / "ws")
    with own_store():
        uri = embedded_store(ws.state)
        version = register_whole(ws, params, TRAINED / "regions3d")
        make_champion(ws, "segmentation", version.number)
        sample_inbox.run(ws, params, cases=1)
        score.run(ws, params)
        model = Registry(uri).fetch(version).parents[1]
        mlflow.set_tracking_uri(None)
    (case,) = (path.name for path in ws.inbox.path.iterdir() if path.is_dir())
    python = python_or_skip("model", model / "requirements.txt")
    asked = [{"case_folder": str(ws.inbox.path / case), "output_folder": str(tmp_path / "out")}]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW", "BRATS"))}

    done = subprocess.run(
        [str(python), "-c", PROGRAM, uri, json.dumps(asked)],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert Path(answer["code"]) == model / "code/brats_ml/__init__.py"
    (row,) = answer["rows"]
    assert (row["status"], row["reason"]) == ("scored", None)
    assert Path(row["label_map"]).read_bytes() == ws.predictions().case(case).labels(case).read_bytes()
