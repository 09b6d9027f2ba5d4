"""Commands as people mistype them: each ends with one sentence, before anything heavy is imported or written."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.typed_commands import SLOW, Typed, type_commands

ROOT = Path(__file__).parents[2]
ONE_CASE = "put one folder a case there, name another folder with --cases, or run `brats inbox` to try synthetic"
RECIPES = "known are: baseline, baseline_mini, ensemble, regions2d, regions3d"
TYPED = [
    # folder, command line, status, beginning of the sentence
    ("checkout", "trian --recipe baseline", 2, "there is no command trian; did you mean train?"),
    ("checkout", "undo", 2, "there is no command undo; `brats --help` lists all commands"),
    ("checkout", "train", 2, "`brats train` needs --recipe: a section of `recipes` in params.yaml"),
    ("checkout", "train --recpie baseline", 2, "`brats train` has no option --recpie; did you mean --recipe?"),
    ("checkout", "train --recipe", 2, "option '--recipe' requires an argument"),
    ("checkout", "train baseline", 2, "`brats train` needs --recipe: "),
    ("checkout", "compare now", 2, "`brats compare`: got unexpected extra argument(s) (now); `brats compare --help`"),
    ("checkout", "--root x train", 2, "--root comes after the command, as in `brats COMMAND --root ...`"),
    ("checkout", "--vresion", 2, "`brats` has no option --vresion; did you mean --version?"),
    ("checkout", "-h", 2, "`brats` has no option -h; known are: --version, --help"),
    ("checkout", "inbox --cases many", 2, "`brats inbox` cannot use --cases: it must be a whole number, found 'many'"),
    ("checkout", "inbox --cases 0", 2, "`brats inbox` cannot use --cases: it must be at least 1, found "),
    ("checkout", "validate --shard 5/2", 2, "`brats validate` cannot use --shard: it must be the number of a shard"),
    ("checkout", "preprocess --shard x", 2, "`brats preprocess` cannot use --shard: it must be the number of a sha"),
    ("checkout", "set", 2, "`brats set` needs KEY=VALUE: one or more: a dotted key of params.yaml, a YAML value"),
    ("checkout", "plan --recipe nope", 1, f"recipe nope is not declared in params.yaml; {RECIPES}"),
    ("checkout", "train --recipe nope", 1, f"recipe nope is not declared in params.yaml; {RECIPES}"),
    ("checkout", "train --recipe region3d", 1, "recipe region3d is not declared in params.yaml; did you mean regions3"),
    ("checkout", "train --recipe regions3d", 1, "recipe regions3d is not one of train.recipes in params.yaml: add it,"),
    ("checkout", "train --recipe baseline_mini", 1, "{folder}/data/preprocessed/index.json does not exist: run `brats"),
    ("checkout", "evaluate --recipe nope", 1, "recipe nope is not declared in params.yaml; "),
    ("checkout", "precision --recipe nope", 1, "recipe nope is not declared in params.yaml; "),
    ("checkout", "precision --recipe baseline", 1, "{folder}/models/segmentation/baseline/verdict.json does not exist"),
    ("checkout", "features --masks refrence", 1, "masks refrence is unknown; did you mean reference?"),
    ("checkout", "survival --estimator nope", 1, "estimator nope is not one of survival.estimators in params.yaml; kn"),
    ("checkout", "code", 1, "{folder}/dvc.yaml does not exist: run brats in a checkout that has a dvc.yaml, or name o"),
    ("checkout", "up", 1, "{folder}/dvc.yaml does not exist: run brats in a whole checkout, with dvc.yaml, dags/ and"),
    ("checkout", "demo", 1, "{folder}/dvc.yaml does not exist: run brats in a whole checkout, with dvc.yaml, dags/ an"),
    ("checkout", "acquire", 1, "{folder}/data/listing.json does not exist: run `brats source` first"),
    ("checkout", "validate", 1, "{folder}/data/raw does not exist: run `brats acquire` first"),
    ("checkout", "preprocess", 1, "{folder}/data/raw does not exist: run `brats acquire` first"),
    ("checkout", "split", 1, "{folder}/data/validation/manifest.json does not exist: run `brats validate` first"),
    ("checkout", "compare", 1, "{folder}/evaluation/validation/baseline_mini/summary.json does not exist: run `brats "),
    ("checkout", "publish", 1, "{folder}/reports/nominees.json does not exist: run `brats compare` first"),
    ("checkout", "gate", 1, "{folder}/reports/nominees.json does not exist: run `brats compare` first"),
    ("checkout", "promote", 1, "{folder}/decisions/segmentation.json does not exist: run `brats gate` first"),
    ("compared", "gate", 1, "no model is published: run `brats publish` first"),
    ("checkout", "adopt brats-segmentaton 1", 1, "model brats-segmentaton is unknown; did you mean brats-segm"),
    ("checkout", "adopt brats-survival best", 1, "best is not the number of a version, and not `none`\n"),
    ("checkout", "adopt brats-survival 1", 1, "no model is published: run `brats publish` first"),
    ("checkout", "score", 1, f"{{folder}}/inbox does not exist: {ONE_CASE}"),
    ("checkout", "pending", 1, f"{{folder}}/inbox does not exist: {ONE_CASE}"),
    ("checkout", "score --cases /nope", 1, "/nope does not exist: name a folder of cases with --cases\n"),
    ("filled", "score --cases inboks", 1, "inboks does not exist: name a folder of cases with --cases; did you mean i"),
    ("filled", "score --cases hollow", 1, "hollow holds no case: name a folder with one folder a case, as releases h"),
    ("filled", "score --cases hollow --case X", 1, "hollow holds no case: name a folder with one folder a case, as r"),
    ("filled", "score --cases params.yaml", 1, "params.yaml is no folder: name a folder of cases with --cases\n"),
    ("filled", "train --recipe baseline --root params.yaml", 1, "{folder}/params.yaml is no folder: name the folder "),
    ("filled", "score", 1, "brats-segmentation has no champion in the ledger {folder}/.brats/ledger.jsonl: run "),
    ("filled", "score --case BraTS20_Validation_01", 1, "{folder}/inbox holds no case BraTS20_Validation_01; did you"),
    ("filled", "score --output inbox/predictions", 1, "the folder for predictions inbox/predictions overlaps the "),
    ("filled", "pending --preset bset", 1, "preset bset is unknown; did you mean best?"),
    ("filled", "score --output params.yaml", 1, "params.yaml is no folder: name a folder for predictions with --outpu"),
    ("filled", "table --output params.yaml", 1, "params.yaml is no folder: name a folder for predictions with --outpu"),
    ("filled", "pending --output inbox", 1, "the folder for predictions inbox overlaps the folder of cases "),
    ("checkout", "score --preset bset", 1, "preset bset is unknown; did you mean best?"),
    ("checkout", "fetch nope", 1, "there is no closed run nope"),
    ("checkout", "set recipies.baseline.size=3", 1, "params.yaml has no key recipies.baseline.size; did you mean reci"),
    ("checkout", "set phantom.cases=x", 1, "params.yaml, key phantom.cases: must be a whole number, found 'x'"),
    ("checkout", "set =3", 1, "'=3' is not KEY=VALUE: write a dotted key, `=` and a value, such as phantom.cases=12"),
    ("checkout", "set gate.nope=1", 1, "params.yaml has no key gate.nope; did you mean gate."),
    ("checkout", "set phantom.cases = 3", 1, "'phantom.cases' is not KEY=VALUE: write a dotted key, `=` and a value, "),
    ("checkout", "set acquire.source=/nope", 1, "/nope does not exist: set acquire.source to a folder or an archive w"),
    ("filled", "set acquire.source=inboks", 1, "{folder}/inboks does not exist: set acquire.source to a folder or an "
     "archive with cases; did you mean inbox?"),
    ("checkout", "set acquire.source=params.yaml", 1, "{folder}/params.yaml: is neither a folder nor an archive that "),
    ("checkout", "set acquire.source=s3:/bucket", 1, "params.yaml, key acquire.source: a source is `phantom`, a "),
    ("checkout", "set survival.features_from=nope.csv", 1, "{folder}/nope.csv does not exist: set survival.features_f"),
    ("checkout", "train --recipe baseline --root /nope", 1, "/nope does not exist: name the folder of a checkout with"),
    *(("empty", command, 1, "{folder}/params.yaml does not exist: run brats in a checkout that has a params.yaml, or ")
      for command in ("source", "train --recipe x", "score", "set a=b", "fetch", "prune", "up", "down", "demo",
                      "models", "status", "code")),
    ("list", "validate", 1, "params.yaml: must be a section of keys and values, found ['a', 'list']"),
    ("list", "set phantom.cases=3", 1, "params.yaml: must be a section of keys and values, found ['a', 'list']"),
    ("torn", "validate", 1, "{folder}/params.yaml is not valid YAML: line 2: "),
    ("tab", "validate", 1, "{folder}/params.yaml is not valid YAML: line 2: it has a tab; indent by spaces\n"),
    ("twice", "validate", 1, '{folder}/params.yaml is not valid YAML: line 2: found duplicate key "phantom": keep on'),
    ("blank", "status", 1, "params.yaml: must be a section of keys and values, found null"),
    ("binary", "validate", 1, "{folder}/params.yaml is not valid YAML: it has bytes that are not text in UTF-8"),
    ("folder", "validate", 1, "{folder}/params.yaml cannot be read (Is a directory): grant read permission"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by name: one of each kind that somebody may call brats in."""
    home = tmp_path_factory.mktemp("folders")
    kinds = ("checkout", "filled", "compared", "empty", "list", "torn", "tab", "twice", "blank", "binary", "folder")
    found = {name: home / name for name in kinds}
    for folder in found.values():
        folder.mkdir()
    for name in ("checkout", "filled", "compared"):
        shutil.copy(ROOT / "params.yaml", found[name])
    case = found["filled"] / "inbox/BraTS20_Validation_001"
    case.mkdir(parents=True)
    (case / f"{case.name}_flair.nii").touch()
    (found["compared"] / "reports").mkdir()
    (found["compared"] / "reports/nominees.json").write_text("{}")
    (found["list"] / "params.yaml").write_text("[a, list]\n")
    (found["torn"] / "params.yaml").write_text("acquire:\n  source: [")
    (found["tab"] / "params.yaml").write_text("acquire:\n\tsource: phantom\n")
    (found["twice"] / "params.yaml").write_text("phantom: {}\nphantom: {}\n")
    (found["blank"] / "params.yaml").write_text("")
    (found["filled"] / "hollow").mkdir()
    (found["binary"] / "params.yaml").write_bytes(b"acquire: \xff\x80")
    (found["folder"] / "params.yaml").mkdir()
    return found


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def ended(folders: dict[str, Path]) -> Iterator[list[Typed]]:
    """How each command of TYPED ended; none of them may leave anything behind."""
    before = {name: contents(folder) for name, folder in folders.items()}
    yield type_commands([(folders[name], line) for name, line, *_ in TYPED])
    assert {name: contents(folder) for name, folder in folders.items()} == before


@pytest.mark.parametrize("number", range(len(TYPED)), ids=[f"{name}: {line}" for name, line, *_ in TYPED])
def test_a_wrong_command_ends_with_one_sentence(number: int, ended: list[Typed], folders: dict[str, Path]) -> None:
    name, _, status, sentence = TYPED[number]

    assert ended[number].status == status, ended[number].err
    assert ended[number].err.startswith(f"brats: {sentence.replace('{folder}', str(folders[name]))}")
    assert ended[number].err.count("\n") == 1
    assert ended[number].out == ""


def test_no_wrong_command_imports_a_heavy_library(ended: list[Typed]) -> None:
    loaded = {line: one.modules & SLOW for (_, line, *_), one in zip(TYPED, ended, strict=True) if one.modules & SLOW}

    assert loaded == {}


def test_a_wrong_command_says_nothing_of_synthetic_patients_where_a_folder_was_named(ended: list[Typed]) -> None:
    named = [one.err for (_, line, *_), one in zip(TYPED, ended, strict=True) if "score --cases" in line]

    assert named
    assert not [err for err in named if "synthetic" in err or "brats inbox" in err]
