"""dvc.lock, DVC's record of the stages that have run: its shape, and what it says in plain values."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.errors import TableError
from brats_ml.reading import identity
from brats_ml.workspace.artefact import DVC_LOCK

# DVC writes the file in place, so a reader may meet a part of it; a file that stays unreadable for longer is damaged.
WRITING_S = 2.0
POLL_S = 0.1


@dataclass(frozen=True)
class Recorded:
    """What DVC recorded of a stage when it last ran.

    Attributes:
        outs: Digest of each file or folder that the stage wrote, by its path as dvc.yaml has it.
        deps: The same of each one that it read.
        digest: SHA-256 of the whole record: command, parameters, inputs and outputs.
        command: The command.
        params: The value of each parameter by its dotted key, by the file that has it.
    """

    outs: Mapping[str, str]
    digest: str
    deps: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def stages(folder: Path) -> Mapping[str, Recorded]:
    """Return what the dvc.lock of a folder records, by the name of the stage, such as `train@baseline`.

    Stages that dvc.yaml has no longer may be among them, since DVC keeps their records. Without a dvc.lock nothing is
    recorded.

    Raises:
        TableError: The file is damaged.
    """
    return _read(folder).stages


def digest(folder: Path) -> str | None:
    """Return the SHA-256 of all that the dvc.lock of a folder records, in any order; None without a dvc.lock.

    Raises:
        TableError: The file is damaged.
    """
    return _read(folder).digest


@dataclass(frozen=True)
class _Record:
    stages: Mapping[str, Recorded]
    digest: str | None


class _File(BaseModel):
    path: str
    md5: str = ""


class _Stage(BaseModel):
    cmd: str | list[str] = ""
    params: dict[str, dict[str, Any]] = {}
    outs: list[_File] = []
    deps: list[_File] = []

    @property
    def command(self) -> str:
        return self.cmd if isinstance(self.cmd, str) else "\n".join(self.cmd)


class _Lock(BaseModel):
    stages: dict[str, _Stage] = {}


def _read(folder: Path) -> _Record:
    path = folder / DVC_LOCK
    deadline = time.monotonic() + WRITING_S
    while path.is_file():
        try:
            return _parsed(path, identity(path.stat()))
        except TableError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)
    return _Record({}, None)


@lru_cache(maxsize=1)
def _parsed(path: Path, _identity: str) -> _Record:
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        lock = _Lock.model_validate(document)
    except (YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise TableError(
            path, "is damaged; restore it, or remove it and run `dvc repro`, which reuses what is in DVC's cache"
        ) from error
    recorded = {
        name: Recorded(
            _digests(stage.outs), _digest(document["stages"][name]), _digests(stage.deps), stage.command, stage.params
        )
        for name, stage in lock.stages.items()
    }
    return _Record(recorded, _digest(document))


def _digests(files: list[_File]) -> dict[str, str]:
    return {file.path: file.md5 for file in files}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
