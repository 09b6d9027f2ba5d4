"""The digest of a module's source counts what it does, and neither words nor layout."""

import json
import shutil
import subprocess

import pytest

from brats_ml.adapters.source_code import PACKAGE, code_digest, imported_modules, source_digest

# Every construct that Python 3.11 to 3.13 tokenise or parse in ways of their own.
SOURCE = '''"""Docstring."""
from dataclasses import dataclass
LIMITS: dict[str, float] = {"a": 1e-3, "b": -0.0, "c": float("inf")}
async def f(a, /, b=1, *args, c: int = 2, **more) -> "int":
    """Docstring."""
    text = f"{a!r:>{b}} {{}} {a:%Y} {'x' if b else 'y'}" "more" f'{c=}'
    async with a as b, c:
        match text:
            case {"x": [1, *rest], **kw} if rest: return lambda x: (x := 1)
            case None | True: yield b"bytes"
    try: pass
    except* ValueError as error: raise error from None
    return [*args, ...] and 1_000 @ 0xFF // ~2j
@dataclass(frozen=True)
class C(object, metaclass=type): x = 1
'''
# Made by the oldest of the three, Python 3.11.7: print(source_digest(SOURCE)).
DIGEST = "ce967dac3f2aa4254abe702855456f957011040e1f5e9d7e162e586ec882e9d6"


def test_the_digest_is_the_same_on_every_python() -> None:
    assert source_digest(SOURCE) == DIGEST


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_whole_package_has_the_same_digest_on_another_python(version: str) -> None:
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip(f"Python {version} is not installed")
    program = (
        "import json; from pathlib import Path; from brats_ml.adapters.source_code import source_digest; "
        "print(json.dumps([source_digest(p.read_text()) for p in sorted(Path('brats_ml').rglob('*.py'))]))"
    )

    theirs = subprocess.run([python, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)

    ours = [source_digest(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]
    assert json.loads(theirs.stdout) == ours


@pytest.mark.parametrize(
    "same",
    [
        "def f(x):\n    return g(x, 1)\n",
        "# A comment.\ndef f(x):\n    return g(x, 1)  # another\n",
        '"""Words."""\n\n\ndef f(x):\n    """More words."""\n    return g(x, 1)\n',
        "def f(\n  x,\n):\n  return (g(\n    x,\n    1,\n  ))\n",
    ],
)
def test_words_and_layout_do_not_count(same: str) -> None:
    assert source_digest(same) == source_digest("def f(x):\n  return g(x,1)")


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return g(x, 2)\n",
        "def f(x):\n    return g(x, 1.0)\n",
        "def f(x):\n    return g(x, True)\n",
        "def f(y):\n    return g(y, 1)\n",
        "def f(x):\n    return g((x,), 1)\n",
        "def f(x: int):\n    return g(x, 1)\n",
        "def f(x):\n    'not the first statement'; return g(x, 1)\n    'a string that is no docstring'\n",
    ],
)
def test_what_the_program_says_counts(other: str) -> None:
    assert source_digest(other) != source_digest("def f(x):\n    return g(x, 1)\n")


def test_imports_are_followed_through_others_and_inside_functions() -> None:
    found = imported_modules("brats_ml.stages.evaluate")

    assert {"brats_ml.segmentation.inference.sliding_window", "brats_ml.adapters.nifti.header"} <= found
    assert "brats_ml.segmentation.inference.openvino_network" in found  # imported where OpenVINO is chosen


def test_modules_that_carry_results_do_not_count() -> None:
    assert not {name for name in imported_modules("brats_ml.stages.train") if "tracking" in name or "reports" in name}


def test_modules_of_another_method_are_left_out() -> None:
    assert "brats_ml.segmentation.training.losses" in imported_modules("brats_ml.stages.train")
    assert "brats_ml.segmentation.training.losses" not in imported_modules(
        "brats_ml.stages.train", left_out=("_regions",)
    )
    assert code_digest("brats_ml.stages.train") != code_digest("brats_ml.stages.train", left_out=("_regions",))
