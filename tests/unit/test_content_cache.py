import json
from pathlib import Path

import pytest

from brats_ml.adapters.content_cache import cached_file, cached_json, link
from brats_ml.files import digest_file
from brats_ml.workspace.state import Cache


@pytest.mark.parametrize("damage", [None, "", '{"a":', "\x00\x00"])
def test_a_value_is_made_where_it_is_not_there_or_damaged_and_only_then(damage: str | None, tmp_path: Path) -> None:
    path, made = tmp_path / "value.json", []
    if damage is not None:
        path.write_text(damage)

    for _ in range(2):
        assert cached_json(path, lambda: made.append(1) or {"a": 1}) == {"a": 1}

    assert made == [1]
    assert json.loads(path.read_text())["value"] == {"a": 1}


def test_a_value_with_one_changed_byte_is_made_again_or_is_the_same(tmp_path: Path) -> None:
    path, made, value = tmp_path / "value.json", [], {"mean": 0.5, "cases": ["a", "b"]}
    cached_json(path, lambda: value)
    whole = path.read_bytes()

    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cached_json(path, lambda: made.append(1) or value) == value

    assert len(made) >= len(whole) // 2


def test_a_file_with_one_changed_byte_is_made_again_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, note = tmp_path / "a.npz", tmp_path / "a.json"
    digest = cached_file(path, lambda temporary: void(temporary.write_bytes(b"array")), note=note)
    path.chmod(0o644)
    path.write_bytes(b"arraz")

    assert cached_file(path, lambda temporary: void(temporary.write_bytes(b"array")), note=note) == digest
    assert path.read_bytes() == b"array"
    assert "is damaged or was changed: it is made again" in caplog.text


def test_a_write_lists_another_folder_than_the_one_with_a_file_for_each_case(tmp_path: Path) -> None:
    cache, folders = Cache(tmp_path), []

    def write(temporary: Path) -> None:
        folders.append(temporary.parent)
        temporary.write_bytes(b"array")

    cached_file(cache.array_file("a"), write, note=cache.value("a"))
    cached_json(cache.value("b"), lambda: 1)

    assert folders == [cache.unfinished]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".unfinished", "a.json", "a.npz", "b.json"]
    assert list(cache.unfinished.iterdir()) == []


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
