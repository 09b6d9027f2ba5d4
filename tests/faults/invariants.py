"""What a checkout holds, without clock times and random ids, and what must be true of it whatever happened."""

import json
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml.adapters.tracking.champions import CHAMPION
from brats_ml.adapters.tracking.ledger import PROMOTION
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.files import digest_file, digest_value
from brats_ml.workspace import Workspace

# Folders that people fill, and whose files no command may change.
GIVEN = ("inbox", "data/raw", "data/tables")
# What says which cases wait; it has inodes and times, and counts attempts.
MARKS = "predictions/.cases/"
EARLIER = "predictions/.earlier/"
# Keys of the ledger that differ in each run; a chain digests the time too.
CLOCK = ("time", "run_id", "chain")


@dataclass(frozen=True)
class Contents:
    """What a checkout holds.

    Attributes:
        files: Digest of each file, by its relative path, except git's own, the marks of scored cases, and what a
            killed process left under a temporary name and a later one removes. A ledger is digested without times.
        runs: Runs of MLflow as (key, name, status), with digests of their parameters and curves.
        versions: Registered versions as (model, number, key).
        logged: Logged models of each run's key.
        aliases: Version number of each (model, alias).
        ledger: The promotions, without clock times.
        parts: The part of each patient in the permanent split.
        predictions: Digest of each label map of each case, now or earlier.
    """

    files: dict[str, str]
    runs: list[tuple[Any, ...]]
    versions: list[tuple[str, int, str]]
    logged: dict[str, int]
    aliases: dict[tuple[str, str], int]
    ledger: list[dict[str, Any]]
    parts: dict[str, str]
    predictions: set[tuple[str, str]]

    @classmethod
    def of(cls, ws: Workspace) -> "Contents":
        """Read a checkout without changing it; no command is at work in it."""
        store = ws.state.mlflow.path
        files = {
            path.relative_to(ws.root).as_posix(): _digest(path)
            for path in ws.root.rglob("*")
            if path.is_file()
            and not path.is_relative_to(store)
            and not path.name.endswith("lock")
            and not _unfinished(path, ws.root)
            and ".git" not in path.parts
            and not path.relative_to(ws.root).as_posix().startswith(MARKS)
        }
        rows = _Store(ws.state.mlflow.database)
        labels = ws.predictions().path.rglob("*-labels.nii.gz")
        return cls(
            files=files,
            runs=rows.runs(),
            versions=rows.versions(),
            logged=rows.logged(),
            aliases=rows.aliases(),
            ledger=_promotions(ws.state.ledger.path),
            parts=_parts(ws.state.splits.path),
            predictions={
                (path.name, digest_file(path)) for path in labels if path.is_file() and not _unfinished(path, ws.root)
            },
        )

    def lost(self, before: "Contents") -> list[str]:
        """Return what was there before and is no more."""
        given = [name for name in before.files if name.startswith(GIVEN)]
        lost = [name for name in given if self.files.get(name) != before.files[name]]
        lost += [f"label map {name}" for name, digest in before.predictions - self.predictions]
        lost += [f"part of {name}" for name, part in before.parts.items() if self.parts.get(name) != part]
        lost += [f"version {version}" for version in before.versions if version not in self.versions]
        lost += [f"run {run[:2]}" for run in before.runs if run[:2] not in [kept[:2] for kept in self.runs]]
        if self.ledger[: len(before.ledger)] != before.ledger:
            lost.append("a line of the ledger")
        return lost

    def doubled(self) -> list[str]:
        """Return what is there twice and must be there once."""
        counts = Counter(f"run {run[0]}" for run in self.runs)
        counts += Counter(f"version {name} of {key}" for name, _, key in self.versions)
        counts += Counter({f"logged model of {key}": number for key, number in self.logged.items()})
        counts += Counter(
            f"promotion of {line['model']} v{line['version']}"
            for line, before in zip(self.ledger, [None, *self.ledger], strict=False)
            if before and (line["model"], line["version"]) == (before["model"], before["version"])
        )
        points = [f"point {point} of {run[0]}" for run in self.runs for point in _repeated(run[4])]
        return [name for name, count in counts.items() if count > 1] + points

    def aliases_without_ledger(self) -> list[str]:
        """Return the champions that no line of the ledger names."""
        named = {(line["model"], line["version"]) for line in self.ledger}
        champions = {model: number for (model, alias), number in self.aliases.items() if alias == CHAMPION}
        return [f"{model} v{number}" for model, number in champions.items() if (model, number) not in named]

    def differences(self, other: "Contents") -> list[str]:
        """Return where this checkout differs from one that saw no fault; more earlier predictions are no difference."""
        names = sorted(name for name in self.files | other.files if name in other.files or not name.startswith(EARLIER))
        found = [name for name in names if self.files.get(name) != other.files.get(name)]
        for name in ("runs", "versions", "logged", "aliases", "ledger", "parts"):
            if getattr(self, name) != getattr(other, name):
                found.append(name)
        return found


class _Store:
    """The rows of an MLflow store, read from its file; a missing store has none."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def runs(self) -> list[tuple[Any, ...]]:
        rows = self._select(
            "select r.run_uuid, t.value, r.name, r.status from runs r"
            " left join tags t on t.run_uuid = r.run_uuid and t.key = :key where r.lifecycle_stage = 'active'"
        )
        params = self._by_run("select run_uuid, key, value from params")
        points = self._by_run("select run_uuid, key, step, value from metrics")
        found = [(key, name, status, params.get(run, ()), points.get(run, ())) for run, key, name, status in rows]
        return sorted(found, key=str)

    def versions(self) -> list[tuple[str, int, str]]:
        rows = self._select(
            "select v.name, v.version, t.value from model_versions v left join model_version_tags t"
            " on t.name = v.name and t.version = v.version and t.key = :key"
        )
        return sorted((name, int(version), key) for name, version, key in rows)

    def logged(self) -> dict[str, int]:
        rows = self._select(
            "select t.value, count(*) from logged_models m join tags t on t.run_uuid = m.source_run_id"
            " and t.key = :key where m.lifecycle_stage = 'active' group by t.value"
        )
        return {str(key): int(count) for key, count in rows}

    def aliases(self) -> dict[tuple[str, str], int]:
        rows = self._select("select name, alias, version from registered_model_aliases")
        return {(name, alias): int(version) for name, alias, version in rows}

    def _by_run(self, query: str) -> dict[str, tuple[Any, ...]]:
        found: dict[str, list[Any]] = {}
        for run, *values in self._select(query):
            found.setdefault(run, []).append(tuple(values))
        return {run: tuple(sorted(rows)) for run, rows in found.items()}

    def _select(self, query: str) -> list[Any]:
        if not self._database.is_file():
            return []
        with closing(sqlite3.connect(self._database)) as connection, suppress(sqlite3.DatabaseError):
            return connection.execute(query, {"key": KEY}).fetchall()
        return []


def _repeated(points: tuple[Any, ...]) -> list[Any]:
    counts = Counter((name, step) for name, step, _ in points)
    return [point for point, count in counts.items() if count > 1]


def _digest(path: Path) -> str:
    return digest_value(_promotions(path)) if path.suffix == ".jsonl" else digest_file(path)


def _promotions(ledger: Path) -> list[dict[str, Any]]:
    """Return the promotions, without clock times, also of a ledger that commands refuse to read."""
    found = []
    if ledger.is_file():
        for line in ledger.read_bytes().splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event", PROMOTION) == PROMOTION:
                    found.append({name: value for name, value in entry.items() if name not in CLOCK})
    return found


def _parts(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, KeyError):
        parts: dict[str, str] = json.loads(path.read_text())["patients"]
        return parts
    return {}


def _unfinished(path: Path, root: Path) -> bool:
    """Return whether a path is below the temporary name of a folder that a command has not finished."""
    return any(part.count("-") >= 2 and part.startswith(".") for part in path.relative_to(root).parts)
