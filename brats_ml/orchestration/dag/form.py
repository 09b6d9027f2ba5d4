"""The form of brats_train: its values go into the params.yaml of a run, which is checked before anything runs."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_ml.cohort.source_address import with_absolute_path
from brats_ml.config import Params, load, parse, read_document
from brats_ml.config.differences import differences
from brats_ml.config.edit import override, text
from brats_ml.config.recipes import EnsembleRecipe
from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.graph import Graph, difference, union, without
from brats_ml.orchestration.dag.graph_files import Reads
from brats_ml.orchestration.dag.kept import pipeline_graph
from brats_ml.orchestration.runs.clones import uncommitted
from brats_ml.orchestration.runs.run import Prepared
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


def offered_graph(root: Path, reads: Reads | None = None) -> Graph:
    """Return the stages of all recipes that a form may choose: every recipe that params.yaml declares.

    It is the union of the graphs of each recipe alone, so a stage that reads the recipe of `features.predicted_by`
    waits for whichever it may be.

    Args:
        root: The root of the repository.
        reads: Gets the files that the graph depends on besides params.yaml.

    Raises:
        ConfigError: params.yaml or dvc.yaml is not valid.
    """
    from brats_ml.orchestration.dag.dvc_graph import read_graph  # imports DVC

    document, graphs = read_document(root / PARAMS), []
    for recipe in parse(document).recipes:
        document["train"]["recipes"], document["features"]["predicted_by"] = [recipe], recipe
        graphs.append(read_graph(root, params=text(document), reads=reads))
    return union(graphs)


def check_graph(found: Graph, drawn: Graph) -> None:
    """Compare the graph of a clone with the graph that Airflow shows.

    Raises:
        ConfigError: They differ.
    """
    differs = difference(drawn, found)
    if differs is not None:
        raise ConfigError(
            f"the pipeline of this revision and form differs from the one that Airflow shows: {differs}; "
            "check out that revision where Airflow reads its DAGs, or choose another one",
            key="revision",
        )


def rehearse(form: Mapping[str, Any], checkout: Path) -> None:
    """Check the values of the form against the params.yaml of a checkout, which stays as it is.

    Raises:
        ConfigError: A value is not valid.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(checkout / PARAMS, folder))
        override(copy, _assignments(form, load(copy)))


def apply(form: Mapping[str, Any], *, clone: Path, checkout: Path | None, drawn: Graph) -> Prepared:
    """Write the values of the form into the clone's params.yaml.

    Args:
        form: Fields of brats_train or brats_cohort by name; None leaves params.yaml as it is.
        clone: The clone that becomes the workspace.
        checkout: The folder that paths in params.yaml are relative to; None leaves them as they are.
        drawn: The graph that Airflow shows: that of `offered_graph` if the form has the field `recipes`.

    Raises:
        ConfigError: A value is not valid, or the graph would differ from `drawn`.
    """
    path = clone / PARAMS
    assignments = _assignments(form, load(path))
    before = read_document(path)
    if checkout is not None and (checkout / PARAMS).is_file():
        # Another revision may have a weaker gate than the one that the checkout's owner set.
        before["gate"] = read_document(checkout / PARAMS)["gate"]
    if assignments:
        override(path, assignments)
    changes = tuple(differences(before, read_document(path)))
    relative = _absolute(path, checkout) if checkout is not None else []
    if relative:
        override(path, relative)
    if "recipes" not in form:
        check_graph(pipeline_graph(clone), drawn)
        return Prepared(changes=changes)
    check_graph(offered_graph(clone), drawn)
    rest = pipeline_graph(clone)
    skipped = frozenset(drawn) - frozenset(rest)
    check_graph(rest, without(drawn, skipped))
    return Prepared(tuple(sorted(skipped)), changes)


def _trainings(recipe: str, params: Params) -> list[str]:
    """Return the key of what a recipe trains below `recipes`: its own, or that of each member of an ensemble."""
    chosen = params.recipes.get(recipe)
    return [f"{recipe}.members.{name}" for name in chosen.members] if isinstance(chosen, EnsembleRecipe) else [recipe]


def _assignments(form: Mapping[str, Any], params: Params) -> list[str]:
    """Return what the form sets in params.yaml; `features.predicted_by` follows the recipes unless the form sets it."""
    assignments = list(form.get("set") or [])
    for assignment in assignments:
        if f"{assignment.partition('=')[0]}.".startswith(FROM_CHECKOUT):
            raise ConfigError(
                f"{assignment}: Airflow reads `{FROM_CHECKOUT}*` from params.yaml in the checkout of its DAGs; "
                "change the value there",
                key=FROM_CHECKOUT,
            )
    if form.get("source") is not None:
        assignments.append(f"acquire.source={json.dumps(form['source'])}")
    if form.get("folds") is not None:
        assignments.append(f"survival.folds={form['folds']}")
    recipes = form.get("recipes")
    if recipes is not None:
        assignments.append(f"train.recipes={json.dumps(recipes)}")
    if form.get("epochs") is not None:
        assignments += [
            f"recipes.{key}.epochs={form['epochs']}"
            for recipe in recipes or params.train.recipes
            for key in _trainings(recipe, params)
        ]
    keys = [assignment.partition("=")[0] for assignment in assignments]
    if recipes is not None and params.features.predicted_by not in recipes and "features.predicted_by" not in keys:
        assignments.append(f"features.predicted_by={recipes[0]}")
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
