"""The tasks of brats_reproduce. They belong to no run, since each version is reproduced at the commit that made it."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.checkout_operator import CheckoutOperator
from brats_ml.orchestration.dag.form_values import ReproduceForm, check


class ReproduceOperator(CheckoutOperator):
    """Runs `brats reproduce` for one model; it is skipped where there is nothing to reproduce."""

    def __init__(self, *, model: str, **options: Any) -> None:
        """Keep the registered `model`."""
        super().__init__(**options)
        self.model = model

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command for the values of the form.

        Raises:
            AirflowFailException: A value is wrong.
            AirflowSkipException: The form names the other model.
        """
        try:
            check(values, ReproduceForm, name=self.dag_id)
        except ConfigError as error:
            raise AirflowFailException(str(error)) from None
        if values["model"] not in (None, self.model):
            self.skip(f"the form names {values['model']}, and not {self.model}")
        version = ["champion", "--if-any"] if values["version"] is None else [str(values["version"])]
        return ["reproduce", *version, "--model", self.model, *(["--train"] if values["train"] else [])]
