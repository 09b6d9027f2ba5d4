"""Variables that libraries read as they are imported."""

import os

import pytest

from brats_ml import environment


def test_what_the_user_set_stays_and_the_rest_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")

    environment.set_defaults()

    found = {name: os.environ[name] for name in environment.DEFAULTS}
    assert found == environment.DEFAULTS | {"TF_CPP_MIN_LOG_LEVEL": "0"}
