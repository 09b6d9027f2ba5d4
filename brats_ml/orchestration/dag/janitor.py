"""The task of brats_janitor. It belongs to no run, since `brats janitor` removes runs while no task of one works."""

from collections.abc import Mapping
from typing import Any

from brats_ml.orchestration.dag.checkout_operator import CheckoutOperator


class JanitorOperator(CheckoutOperator):
    """Runs `brats janitor`."""

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command for the values of the form."""
        return ["janitor", *(["--dry"] if values["dry"] else [])]
