import json
from pathlib import Path

import pytest

from brats_ml.adapters.content_cache import cached_file, cached_json, link
from brats_ml.files import digest_file


@pytest.mark.parametrize("damage", [None, "", '{"a":', "\x00\x00"])
def test_a_value_is_made_where_it_is_not_there_or_damaged_and_only_then(damage: str | None, tmp_path: Path) -> None:
    path, made = tmp_path / "value.json", []
    if damage is not None:
        path.write_text(damage)

    for _ in range(2):
        assert cached_json(path, lambda: made.append(1) or {"a": 1}) == {"a": 1}

    assert made == [1]
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize("damaged", ["a.npz", "a.json"])
@pytest.mark.parametrize("contents", [None, b"", b"ab"])
def test_a_file_that_is_gone_or_cut_short_is_made_again(damaged: str, contents: bytes | None, tmp_path: Path) -> None:
    path, note = tmp_path / "a.npz", tmp_path / "a.json"
    digest = cached_file(path, lambda temporary: void(temporary.write_bytes(b"array")), note=note)
    (tmp_path / damaged).unlink()
    if contents is not None:
        (tmp_path / damaged).write_bytes(contents)

    again = cached_file(path, lambda temporary: void(temporary.write_bytes(b"array")), note=note)

    assert digest_file(path) == digest == again
    assert path.stat().st_mode & 0o222 == 0


def test_a_file_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    made: list[Path] = []

    for _ in range(2):
        cached_file(
            tmp_path / "a.npz",
            lambda temporary: void(made.append(temporary), temporary.write_bytes(b"array")),
            note=tmp_path / "a.json",
        )

    assert len(made) == 1


def test_a_link_takes_no_room(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"array")

    link(tmp_path / "kept", tmp_path / "folder/target")

    assert (tmp_path / "folder/target").stat().st_ino == (tmp_path / "kept").stat().st_ino


def void(*_: object) -> None:
    return None
