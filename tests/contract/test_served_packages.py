"""The packages that a registered model lists are all that its code imports, directly or through others."""

from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from brats_ml.models.pyfunc import BACKENDS, OPENVINO, SEGMENTATION_PACKAGES, SURVIVAL_PACKAGES

MLFLOW = "mlflow"  # MLflow adds itself to the packages of every model
# scikit-survival is listed for the one estimator that needs it. crepes fits intervals, and no prediction calls it.
OPTIONAL = {"sksurv", "crepes"}
SERVED = {
    "segmentation": ("brats_ml.models.served_cases", [*SEGMENTATION_PACKAGES, OPENVINO, *BACKENDS]),
    "survival": ("brats_ml.models.survival", list(SURVIVAL_PACKAGES)),
}


def with_dependencies(names: list[str]) -> set[str]:
    """Return distributions and all that they need, extras apart."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            listed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # one of the two names of TensorFlow
            continue
        waiting += [
            canonicalize_name(one.name) for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.mark.parametrize("kind", SERVED)
def test_a_model_lists_every_package_that_its_code_imports(kind: str) -> None:
    module, listed = SERVED[kind]
    graph = grimp.build_graph("brats_ml", include_external_packages=True)
    roots = {module, "brats_ml.adapters.tracking.registry"}
    reached = roots.union(*(graph.find_upstream_modules(root) for root in roots))
    distributions = packages_distributions()
    imported = {name for name in reached if name in distributions} - {"brats_ml", *OPTIONAL}
    known = with_dependencies([*listed, MLFLOW])

    lacking = {name for name in imported if not known & {canonicalize_name(owner) for owner in distributions[name]}}

    assert {"numpy", "mlflow"} <= imported
    assert lacking == set()
