"""Digest the code of each stage, found from its imports, so that DVC reruns what a change of code can change."""

from collections.abc import Mapping
from typing import Any, get_args

from ruamel.yaml import YAML

from brats_ml import files
from brats_ml.adapters.source_code import CARRIERS, FILES, PACKAGE, code_digest, file_digests
from brats_ml.config import Params
from brats_ml.config.recipes import Method
from brats_ml.report import Report
from brats_ml.workspace import Workspace

# These stages look at the outside world or at the code itself in every run, and depend on no digest.
WITHOUT_DIGEST = frozenset({"source", "code"})
# The stages that write a page. A changed drawing or template reruns these stages only.
DRAWING = frozenset({"validate", "compare"})
TEMPLATES = PACKAGE / "reports/templates"
# The methods that a method is made of.
USED = {"ensemble": ("regions",)}
# The modalities that the chosen recipes read. The stage `validate` reruns if they change, and not with each other value
# of a recipe.
NEEDED = "needed_modalities"


def run(ws: Workspace, params: Params) -> Report:
    """Write one digest a stage, or one a recipe where it has a matrix of them; needed modalities; one digest a file.

    Raises:
        CodeError: A module is not valid Python.
    """
    methods = {name: recipe.method for name, recipe in params.recipes.items()}
    stages = YAML(typ="safe").load(ws.dvc_yaml)["stages"]
    found = {name: stage_digests(name, stage, methods) for name, stage in stages.items() if name not in WITHOUT_DIGEST}
    sources = file_digests(*(f"brats_ml.stages.{name}" for name in found))
    pages = {f"brats_ml/reports/templates/{name}": digest for name, digest in files.file_digests(TEMPLATES).items()}
    files.write_json(ws.code, found | {NEEDED: params.needed_modalities, FILES: sources | pages})
    return Report("code", f"{len(found)} stages digested")


def stage_digests(name: str, stage: Mapping[str, Any], methods: Mapping[str, str]) -> str | dict[str, str]:
    """Return the digest of a stage's code, or of each recipe's part of it.

    Args:
        name: The stage, which is also its module in `brats_ml.stages`.
        stage: Its entry in dvc.yaml.
        methods: The method of each recipe.
    """
    if "recipe" not in stage.get("matrix", {}):
        return stage_digest(name)
    by_method = {method: stage_digest(name, method) for method in set(methods.values())}
    return {recipe: by_method[method] for recipe, method in methods.items()}


def stage_digest(name: str, method: str | None = None) -> str:
    """Return the digest of what a stage imports and draws; with a `method`, without the modules that other methods own.

    A method owns the modules named after it: `train_regions` belongs to `regions`, and no baseline recipe runs it.
    """
    others = (
        []
        if method is None
        else [f"_{other}" for other in get_args(Method) if other not in (method, *USED.get(method, ()))]
    )
    carriers = [carrier for carrier in CARRIERS if name not in DRAWING or carrier != "brats_ml.reports"]
    digest = code_digest(f"brats_ml.stages.{name}", carriers=carriers, left_out=tuple(others))
    return files.digest_value([digest, files.digest_tree(TEMPLATES)]) if name in DRAWING else digest
