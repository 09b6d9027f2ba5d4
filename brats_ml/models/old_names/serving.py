"""`brats_ml.stages.serving`: the loader of models that were registered while `models/pyfunc.py` had that name."""

from brats_ml.models.pyfunc import _load_pyfunc

__all__ = ["_load_pyfunc"]
