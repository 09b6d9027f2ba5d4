"""The form of brats_train: its values go into the params.yaml of a run, which is checked before anything runs."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_ml.cohort.source_address import with_absolute_path
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.graph import Graph, difference, read_graph, without
from brats_ml.orchestration.runs.clones import uncommitted
from brats_ml.workspace.artefact import DVC_LOCK, PARAMS

# Airflow reads these keys when it parses the DAGs, before there is a form.
FROM_CHECKOUT = "orchestration."
# A run may differ in these. It needs no dvc.lock of the checkout, since it finds the same results in the cache.
NO_CODE = frozenset({DVC_LOCK, PARAMS})


def copy_uncommitted_params(checkout: Path, clone: Path) -> bool:
    """Copy each params.yaml with uncommitted changes from the checkout to the clone of its commit.

    Returns:
        Whether there is one.

    Raises:
        ConfigError: Other tracked files of the checkout have uncommitted changes, which a run would not see.
    """
    changed = uncommitted(checkout)
    code = [name for name in changed if Path(name).name not in NO_CODE]
    if code:
        more = f" and {len(code) - 3} more" if len(code) > 3 else ""
        raise ConfigError(
            f"{checkout} has uncommitted changes that a run would not see ({', '.join(code[:3])}{more}): "
            "commit them, or name the revision to run in the form",
            key="revision",
        )
    for name in changed:
        if Path(name).name == PARAMS and (checkout / name).is_file():
            shutil.copy(checkout / name, clone / name)
    return any(Path(name).name == PARAMS for name in changed)


def check_graph(clone: Path, drawn: Graph) -> None:
    """Compare the graph of a clone with the graph that Airflow shows.

    Raises:
        ConfigError: They differ.
    """
    found = difference(drawn, read_graph(clone))
    if found is not None:
        raise ConfigError(
            f"the pipeline of this revision and form differs from the one that Airflow shows: {found}; "
            "check out that revision where Airflow reads its DAGs, or choose another one",
            key="revision",
        )


def apply(form: Mapping[str, Any], *, clone: Path, checkout: Path | None, drawn: Graph) -> tuple[str, ...]:
    """Write the values of the form into the clone's params.yaml.

    Args:
        form: Fields of brats_train by name; None leaves params.yaml as it is.
        clone: The clone that becomes the workspace.
        checkout: The folder that paths in params.yaml are relative to; None leaves them as they are.
        drawn: The graph that Airflow shows.

    Returns:
        Addresses of the stages in `drawn` that the form leaves out, sorted.

    Raises:
        ConfigError: A value is not valid, or the graph would differ from `drawn`.
    """
    path = clone / PARAMS
    assignments = _assignments(form, load(path).train.recipes)
    if assignments:
        override(path, assignments)
    relative = _absolute(path, checkout) if checkout is not None else []
    if relative:
        override(path, relative)
    check_graph(clone, drawn)
    if form.get("recipes") is None:
        return ()
    override(path, [f"train.recipes={json.dumps(form['recipes'])}"])
    rest = read_graph(clone)
    skipped = frozenset(drawn) - frozenset(rest)
    found = difference(without(drawn, skipped), rest)
    if found is not None:
        raise ConfigError(f"recipes {', '.join(form['recipes'])} cannot run alone: {found}", key="recipes")
    return tuple(sorted(skipped))


def _assignments(form: Mapping[str, Any], recipes: list[str]) -> list[str]:
    assignments = list(form.get("set") or [])
    for assignment in assignments:
        if assignment.startswith(FROM_CHECKOUT):
            raise ConfigError(
                f"{assignment}: Airflow reads `{FROM_CHECKOUT}*` from params.yaml in the checkout of its DAGs; "
                "change the value there",
                key=FROM_CHECKOUT,
            )
    if form.get("source") is not None:
        assignments.append(f"acquire.source={json.dumps(form['source'])}")
    if form.get("folds") is not None:
        assignments.append(f"survival.folds={form['folds']}")
    if form.get("epochs") is not None:
        assignments += [f"recipes.{recipe}.epochs={form['epochs']}" for recipe in form.get("recipes") or recipes]
    keys = [assignment.partition("=")[0] for assignment in assignments]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ConfigError(f"the form sets {twice} twice: set it once", key=twice)
    return assignments


def _absolute(path: Path, checkout: Path) -> list[str]:
    params = load(path)
    source, features = params.acquire.source, params.survival.features_from
    absolute = {"acquire.source": (source, with_absolute_path(source, checkout))}
    if features is not None:
        absolute["survival.features_from"] = (features, str(checkout / features))
    return [f"{key}={json.dumps(value)}" for key, (before, value) in absolute.items() if value != before]
