"""Who is champion: the ledger decides, the aliases follow, and no file of a champion may differ."""

import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.champions import CHAMPION, PREVIOUS, Champions
from brats_ml.adapters.tracking.ledger import append_entry, promotions, read_entries
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.adapters.tracking.store import Client
from brats_ml.adapters.tracking.version import COHORT, DIGESTS, Version
from brats_ml.errors import ModelError, ServiceError, TableError
from brats_ml.files import file_digests
from brats_ml.workspace.state import State

NAME = "brats-segmentation"


def make_store(folder: Path, *, versions: int = 3) -> str:
    """Return a store with one model of some versions, whose folders hold three files."""
    made = embedded_store(State(folder))
    client = MlflowClient(made)
    client.create_registered_model(NAME)
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    for number in range(1, versions + 1):
        model = folder / f"models/{number}/data/recipe"
        (model / "more").mkdir(parents=True)
        for name in ("model.keras", "verdict.json", "more/rules.json"):
            (model / name).write_bytes(f"{number} {name} ".encode() * 20)
        run = client.create_run(experiment.experiment_id)
        tags = {KEY: f"key-{number}", DIGESTS: json.dumps(file_digests(model))}
        client.create_model_version(NAME, (folder / f"models/{number}").as_uri(), run.info.run_id, tags=tags)
    return made


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("state"))


@pytest.fixture
def client(uri: str) -> MlflowClient:
    """The client of the store, after the removal of all aliases."""
    client = MlflowClient(uri)
    for alias in (CHAMPION, PREVIOUS):
        client.delete_registered_model_alias(NAME, alias)
    return client


@pytest.fixture
def champions(client: MlflowClient, uri: str, tmp_path: Path) -> Champions:
    """The store with an empty ledger."""
    return Champions(Registry(uri), State(tmp_path))


def version(champions: Champions, number: int) -> Version:
    found = champions.registry.get(NAME, number)
    assert found is not None
    return found


def crown(champions: Champions, number: int) -> None:
    before = champions.of(NAME)
    champions.promote(version(champions, number), decision="d", against=before.identity if before else None)


def is_champion(champions: Champions, number: int) -> bool:
    champion, expected = champions.of(NAME), version(champions, number)
    return champion is not None and (champion.identity, champion.digests) == (expected.identity, expected.digests)


def aliases(champions: Champions) -> dict[str, int]:
    return champions.registry.aliases(NAME)


def entries(champions: Champions) -> list[tuple[int, int | None]]:
    return [(entry["version"], entry["previous"]) for entry in promotions(champions.state.ledger.path)]


def test_a_promotion_moves_both_aliases(champions: Champions) -> None:
    crown(champions, 1)

    grew = champions.promote(version(champions, 2), decision="second", against=version(champions, 1).identity)

    assert grew
    assert is_champion(champions, 2)
    assert aliases(champions) == {CHAMPION: 2, PREVIOUS: 1}
    assert entries(champions) == [(1, None), (2, 1)]


@pytest.mark.parametrize("alias", [1, 3, None])
def test_the_ledger_is_the_last_word_on_aliases(alias: int | None, champions: Champions, client: MlflowClient) -> None:
    """A kill between the line in the ledger and the alias, and an alias moved by hand, are repaired by any caller."""
    crown(champions, 1)
    crown(champions, 2)
    client.delete_registered_model_alias(NAME, CHAMPION)
    if alias is not None:
        client.set_registered_model_alias(NAME, CHAMPION, str(alias))

    note = champions.repair(NAME)

    named = "none" if alias is None else f"v{alias}"
    assert note == (
        f"alias champion of {NAME} names {named}, but the ledger {champions.state.ledger} names v2; it was set back"
    )
    assert aliases(champions) == {CHAMPION: 2, PREVIOUS: 1}
    assert champions.repair(NAME) is None


def test_a_version_judged_against_the_champion_before_the_last_is_refused_even_if_the_alias_still_names_it(
    champions: Champions, client: MlflowClient
) -> None:
    """The kill came after the ledger's line on v2 and before its alias; v3 was judged against v1."""
    crown(champions, 1)
    against = version(champions, 1).identity
    crown(champions, 2)
    client.set_registered_model_alias(NAME, CHAMPION, "1")

    with pytest.raises(ModelError, match=f"{NAME} v3 was compared with v1, but {NAME} v2 is champion now"):
        champions.promote(version(champions, 3), decision="third", against=against)

    assert is_champion(champions, 2)
    assert entries(champions) == [(1, None), (2, 1)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["judge", "move", "kill", "repair"])), max_size=6))
def test_only_a_version_judged_against_the_last_promotion_becomes_champion(
    steps: list[tuple[int, str]], champions: Champions, client: MlflowClient
) -> None:
    """In any order of promotions, kills before the alias, moved aliases and repairs."""
    champions.state.ledger.path.unlink(missing_ok=True)
    client.delete_registered_model_alias(NAME, CHAMPION)
    expected: list[int] = []
    for number, step in steps:
        if step == "judge" and (expected or CHAMPION not in aliases(champions)):
            crown(champions, number)
            expected += [number] if expected[-1:] != [number] else []
        elif step == "move" and expected:
            client.set_registered_model_alias(NAME, CHAMPION, str(number))
        elif step == "kill" and expected and expected[-1] != number:
            champions._append(NAME, version(champions, number), "killed before the alias")
            expected.append(number)
        elif step == "repair":
            champions.repair(NAME)
            assert aliases(champions).get(CHAMPION) == (expected[-1] if expected else None)
        now = champions.of(NAME)
        assert (None if now is None else now.number) == (expected[-1] if expected else None)
    assert [number for number, _ in entries(champions)] == expected


class ReadOnly(Client):
    """The client of a user who may not move an alias."""

    def set_registered_model_alias(self, *_: str) -> None:
        raise ServiceError("MLflow refuses this user")


def test_a_user_who_may_only_read_uses_the_champion_of_the_ledger_and_reads_that_the_alias_differs(
    champions: Champions, client: MlflowClient, uri: str
) -> None:
    crown(champions, 2)
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    reader = Champions(Registry(uri, ReadOnly(uri)), champions.state)

    assert str(reader.repair(NAME)).endswith("names v2, which counts")
    assert is_champion(reader, 2)
    assert aliases(champions)[CHAMPION] == 1


def test_an_alias_without_a_promotion_is_neither_obeyed_nor_overwritten(
    champions: Champions, client: MlflowClient
) -> None:
    client.set_registered_model_alias(NAME, CHAMPION, "2")

    assert champions.of(NAME) is None
    assert "names v2, but the ledger" in str(champions.repair(NAME))
    with pytest.raises(
        ModelError, match=r"alias champion of brats-segmentation names v2, .* names none: set BRATS_STATE"
    ):
        champions.promote(version(champions, 3), decision="d", against=None)
    assert aliases(champions) == {CHAMPION: 2}

    champions.adopt(NAME, 2)

    assert is_champion(champions, 2)
    champions.promote(version(champions, 3), decision="d", against=version(champions, 2).identity)
    assert aliases(champions) == {CHAMPION: 3, PREVIOUS: 2}


def test_a_registry_that_was_made_again_with_other_versions_of_the_same_numbers_is_noticed(
    champions: Champions, tmp_path: Path
) -> None:
    crown(champions, 2)
    other = Champions(Registry(make_store(tmp_path / "other", versions=2)), champions.state)
    fewer = Champions(Registry(make_store(tmp_path / "fewer", versions=1)), champions.state)

    with pytest.raises(ModelError, match=r"names brats-segmentation v2 of run .* champion, .* its v2 is another model"):
        other.of(NAME)
    with pytest.raises(ModelError, match=r"it has no such version: .*`brats adopt"):
        fewer.promote(version(fewer, 1), decision="d", against=None)

    assert other.adopt(NAME, None) is None
    other.promote(version(other, 1), decision="d", against=None)
    assert aliases(other) == {CHAMPION: 1}


@pytest.mark.parametrize("field", ["run_id", "key"])
def test_a_decision_about_another_version_of_the_same_number_does_not_count(field: str, champions: Champions) -> None:
    crown(champions, 1)
    against = {**version(champions, 1).identity, field: "another"}

    with pytest.raises(ModelError, match="was compared with v1, but"):
        champions.promote(version(champions, 2), decision="d", against=against)


def test_a_line_of_an_older_ledger_counts_by_what_it_has(champions: Champions) -> None:
    old = {"model": NAME, "version": 2, "previous": None, "run_id": version(champions, 2).run_id, "decision": "d"}
    champions.state.ledger.path.write_text(json.dumps(old) + "\n")

    crown(champions, 3)

    assert entries(champions) == [(2, None), (3, 2)]


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_line_that_was_cut_off_never_happened_and_the_next_promotion_removes_it(
    cut: int, champions: Champions
) -> None:
    crown(champions, 1)
    line = champions.state.ledger.path.read_bytes()
    champions.state.ledger.path.write_bytes(line + line[:cut])

    crown(champions, 2)

    assert entries(champions) == [(1, None), (2, 1)]


def test_an_append_to_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    append_entry(ledger, {"version": 1})
    before = ledger.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_entry(ledger, {"version": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)

    assert ledger.read_bytes() == before
    assert read_entries(ledger) == [{"version": 1}]


def test_each_changed_byte_of_a_ledger_is_refused_or_changes_no_entry(tmp_path: Path) -> None:
    ledger, expected = tmp_path / "ledger.jsonl", [{"model": NAME, "version": number} for number in (1, 2)]
    for entry in expected:
        append_entry(ledger, entry)
    whole, refused = ledger.read_bytes(), 0

    for place in range(len(whole)):
        for flip in (0x01, 0x20, 0xFF, whole[place] ^ ord("\n")):
            ledger.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                assert read_entries(ledger) == expected
            except TableError:
                refused += 1

    assert refused >= 3 * len(whole)


def test_a_removed_line_of_a_ledger_is_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for number in (1, 2, 3):
        append_entry(ledger, {"version": number})
    first, _, third = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(first + third)

    with pytest.raises(TableError, match="line 2 is not what was appended"):
        append_entry(ledger, {"version": 4})


def spoil(folder: Path, name: str, damage: str, place: float) -> str:
    """Change a model's folder, and return the name of the file that differs then."""
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "add":
        path.with_name(f"{path.name}.bak").touch()
        return f"{name}.bak"
    path.unlink()
    if damage == "flip":
        content[int(place * len(content))] ^= 0x10
        path.write_bytes(content)
    elif damage == "replace":
        path.write_bytes(b"other")
    elif damage == "pipe":
        os.mkfifo(path)
    return name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["model.keras", "verdict.json", "more/rules.json"]),
    damage=st.sampled_from(["flip", "remove", "add", "replace", "pipe"]),
    place=st.floats(0, 1, exclude_max=True),
)
def test_no_champion_is_loaded_with_a_file_that_was_changed_added_or_removed(
    name: str, damage: str, place: float, stores: tuple[Champions, Path]
) -> None:
    champions, template = stores
    folder = template.parent / "models/1/data/recipe"
    shutil.rmtree(folder)
    shutil.copytree(template, folder)
    champion = champions.of(NAME)
    assert champion is not None
    assert champions.registry.fetch(champion) == folder
    changed = spoil(folder, name, damage, place)

    with pytest.raises(ModelError, match=rf"{changed} in .* of {NAME} v1 is not what was registered"):
        champions.registry.fetch(champion)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Champions, Path]:
    """A store of its own with champion v1, and a copy of the files of v1."""
    folder = tmp_path_factory.mktemp("damaged")
    champions = Champions(Registry(make_store(folder, versions=1)), State(folder))
    crown(champions, 1)
    return champions, Path(shutil.copytree(folder / "models/1/data/recipe", folder / "template"))


def test_the_ledger_knows_files_and_tags_of_a_champion_whatever_mlflow_says(
    champions: Champions, client: MlflowClient
) -> None:
    crown(champions, 1)
    recorded = version(champions, 1)
    client.set_model_version_tag(NAME, "1", DIGESTS, json.dumps({"model.keras": "0" * 64}))
    client.set_model_version_tag(NAME, "1", COHORT, "patients")

    champion = champions.of(NAME)

    client.delete_model_version_tag(NAME, "1", COHORT)
    client.set_model_version_tag(NAME, "1", DIGESTS, json.dumps(recorded.digests))
    assert champion is not None
    assert champion.digests == recorded.digests
    assert COHORT not in champion.tags


def test_a_version_without_recorded_files_gets_them_when_it_is_adopted(
    champions: Champions, client: MlflowClient
) -> None:
    recorded = version(champions, 1)
    client.delete_model_version_tag(NAME, "1", DIGESTS)

    champions.adopt(NAME, 1)
    champion = champions.of(NAME)

    client.set_model_version_tag(NAME, "1", DIGESTS, json.dumps(recorded.digests))
    assert champion is not None
    assert champion.digests == recorded.digests


def test_a_champion_without_its_files_ends_in_a_sentence(tmp_path: Path) -> None:
    champions = Champions(Registry(make_store(tmp_path, versions=1)), State(tmp_path))
    crown(champions, 1)
    champion = version(champions, 1)
    shutil.rmtree(tmp_path / "models/1/data")
    with pytest.raises(ModelError, match=r"data of .* v1 holds nothing and not one folder: restore the artifact store"):
        champions.registry.fetch(champion)
    shutil.rmtree(tmp_path / "models/1")

    with pytest.raises(ModelError, match=f"the files of {NAME} v1 are gone .*: restore the artifact store"):
        champions.registry.fetch(champion)
