"""The packages of the extras `dicom` and `prepare`, which the core does without."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def silent() -> Iterator[None]:
    """Drop what pydicom and highdicom say of values that break the standard: it repeats them, and names patients."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
