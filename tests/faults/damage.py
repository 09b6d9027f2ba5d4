"""Kept files that are torn, empty, of other content, or changed by one byte: what the next command makes of them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brats_ml.files import digest_file
from brats_ml.workspace import Workspace
from tests.faults.invariants import EARLIER, GIVEN, Contents
from tests.faults.scenarios import Checkouts, Scenario, of_brats
from tests.faults.shim import READ, Shim
from tests.faults.trials import spread
from tests.faults.zygote import run

# Commands that read kept files, from checkouts in which everything is kept that they could read.
READERS = [
    of_brats("publish", "rejudged", "publish"),
    of_brats("gate", "republished", "gate"),
    of_brats("promote", "rejudged", "promote"),
    of_brats("score", "repromoted", "score"),
    of_brats("score unchanged", "scored", "score"),
    of_brats("score by OpenVINO", "translated", "score"),
    of_brats("pending", "scored", "pending"),
    of_brats("split", "split", "split"),
    of_brats("preprocess", "preprocessed", "preprocess"),
]
# DVC verifies the outputs of stages, so a change of their content is for DVC to notice.
KEPT = (".brats/", "decisions/", "predictions/", "data/preprocessed/")
# What a command leaves as a result.
RESULTS = ("predictions/BraTS", "predictions/predictions", "predictions/review", ".brats/ledger")
DATABASE = ".brats/mlflow/mlflow.db"


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _flip(path: Path) -> None:
    """Change one byte in the middle, a digit in a text, and keep size and time of modification."""
    state, content = path.stat(), bytearray(path.read_bytes())
    text = path.suffix in (".json", ".jsonl", ".csv", ".yaml", "")
    places = [match.start() for match in re.finditer(rb"\d", content)] if text else []
    place = places[len(places) // 2] if places else len(content) // 2
    content[place] = ord(b"0") + (content[place] - ord(b"0") + 1) % 10 if places else content[place] ^ 0x40
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _overwrite(content: bytes) -> Callable[[Path], None]:
    def overwrite(path: Path) -> None:
        path.chmod(0o644)
        path.write_bytes(content)

    return overwrite


FLIP = "one byte"
DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _overwrite(b""),
    "half": _half,
    "garbage": _overwrite(b"\x00\xffgarbage\n" * 9),
    "folder": _folder,
    FLIP: _flip,
}


@dataclass(frozen=True)
class Case:
    """What a command made of a damaged file.

    Attributes:
        command: Its name.
        damage: One of `DAMAGES`.
        path: The file, relative to the checkout.
        accepted: Results that differ from those without the damage, while the command says nothing.
        lost: What else is gone.
        unclear: How the command ended, unless it succeeded or said in one sentence why not.
    """

    command: str
    damage: str
    path: str
    accepted: list[str]
    lost: list[str]
    unclear: str

    @property
    def flawless(self) -> bool:
        """Whether the damage did no harm, or the command refused the file in a sentence."""
        return not (self.accepted or self.lost or self.unclear)


def cases(
    checkouts: Checkouts,
    reader: Scenario,
    *,
    damages: Sequence[str] = tuple(DAMAGES),
    limit: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Case]:
    """Damage each kind of kept file that a command reads, one at a time, and run the command; see `trials`."""
    ws = checkouts.restore(reader.start)
    before = Contents.of(ws)
    ended = run(reader.command(ws.root), Shim(ws.root))
    if ended.status:
        raise RuntimeError(f"{reader.name} fails without damage: {ended.said}")
    sound = Contents.of(ws)
    read = dict.fromkeys(point.path for point in ended.points if point.operation == READ)
    kept = [name for name in read if name in before.files or name.startswith(".brats/mlflow")]
    chosen = [
        (damage, name)
        for name in _one_of_each_kind([*kept, DATABASE])
        for damage in damages
        if damage != FLIP or (name.startswith(KEPT) and name != DATABASE)
    ]
    for damage, name in spread(chosen, limit)[share[0] :: share[1]]:
        ws = checkouts.restore(reader.start)
        if (ws.root / name).is_file():
            yield _judge(ws, reader, damage, name, before=before, sound=sound)


def _judge(ws: Workspace, reader: Scenario, damage: str, name: str, *, before: Contents, sound: Contents) -> Case:
    path = ws.root / name
    DAMAGES[damage](path)
    damaged = None if path.is_dir() else digest_file(path)
    ended = run(reader.command(ws.root))
    after = Contents.of(ws)
    silent = ended.status == 0 and path.name not in ended.said
    different = after.differences(sound) if silent and name.startswith(KEPT) else []
    # A file that keeps its damage, and that nothing was made from, changed no result unless it is one.
    if path.is_file() and digest_file(path) == damaged and not name.startswith(RESULTS):
        different = [other for other in different if other != name]
    if name.startswith(RESULTS):
        # What was damaged is kept as torn; under a model's name are only predictions as that model made them.
        different = [other for other in different if not other.startswith(EARLIER)]
        different += [
            other
            for other in after.files
            if other.startswith(EARLIER) and "/torn-" not in other and after.files[other] != sound.files.get(other)
        ]
    lost = [other for other in after.lost(before) if name not in other] if name != DATABASE else []
    if name.endswith(("ledger.jsonl", "splits.json")):
        lost = [other for other in lost if "ledger" not in other and "part of" not in other]
    return Case(
        reader.name, damage, name, different, lost, "" if ended.clear else f"{ended.status}: {ended.said[-2000:]}"
    )


def _one_of_each_kind(names: Sequence[str]) -> list[str]:
    """Return one name of each folder and kind of file; folders of cases, models and keys are alike."""
    kinds = {}
    for name in names:
        if name.startswith(GIVEN):
            continue
        path = PurePosixPath(name)
        folder = re.sub(r"m-[0-9a-f]{32}|[0-9a-f]{16,}|BraTS\w+", "*", str(path.parent))
        # Copies of the package's code are one kind.
        folder = re.sub(r"/code/.*", "/code", folder)
        file = re.sub(r"[0-9a-f]{16,}|BraTS\w+", "*", path.name) if "/code" not in folder else path.suffix
        kinds.setdefault((folder, file), name)
    return list(kinds.values())
