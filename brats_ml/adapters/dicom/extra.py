"""The packages of the extras `dicom` and `prepare`, which the core does without."""

import importlib
from types import ModuleType

from brats_ml.errors import ConfigError


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an extra.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"the package {module.partition('.')[0]} is not installed: run `pip install 'brats-ml[{extra}]'`",
            key=f"extra {extra}",
        ) from error
