"""Models from strangers: none runs code, reads or writes outside its folder, or unpacks to more than a model needs.

Each hostile file tries to create the canary, or to read the secret, by another way.
"""

import base64
import io
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
import h5py  # noqa: E402 - after the check
import skops.io  # noqa: E402
from sklearn.dummy import DummyClassifier  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402

from brats_ml.adapters.model_files.keras_file import read_model, write_model  # noqa: E402
from brats_ml.adapters.model_files.skops_file import load_estimator, write_estimator  # noqa: E402
from brats_ml.errors import ModelError  # noqa: E402
from brats_ml.workspace import Artefact  # noqa: E402

SECRET = np.arange(4.0, dtype=np.float32)
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The parts of an honest model file."""
    path = tmp_path_factory.mktemp("honest") / "model.keras"
    image = keras.Input((8, 8, 1), name="image")
    write_model(path, keras.Model(image, keras.layers.Conv2D(4, 1, name="last")(image)))
    with zipfile.ZipFile(path) as stored:
        return {name: stored.read(name) for name in stored.namelist()}


def write(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def last_layer(members: Members, module: str, name: str, config: dict[str, Any], **more: Any) -> Members:
    """Replace the last layer in the configuration."""
    document = json.loads(members["config.json"])
    layer = document["config"]["layers"][-1]
    layer |= {
        "module": module,
        "class_name": name,
        "registered_name": None,
        "config": {"name": "last", **config},
        **more,
    }
    return members | {"config.json": json.dumps(document).encode()}


def code(canary: Path) -> list[Any]:
    compiled = compile(f"(lambda x: open({str(canary)!r}, 'w') and x)", "model", "eval").co_consts[0]
    return [base64.b64encode(marshal.dumps(compiled)).decode(), None, None]


def function(module: str, name: str, config: Any = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": name}


def lambda_layer(members: Members, canary: Path, secret: Path) -> Members:
    written = {
        "class_name": "__lambda__",
        "config": dict(zip(("code", "defaults", "closure"), code(canary), strict=True)),
    }
    return last_layer(members, "keras.layers", "Lambda", {"function": written, "arguments": {}})


def lambda_after_safe_mode_is_off(members: Members, canary: Path, secret: Path) -> Members:
    document = json.loads(lambda_layer(members, canary, secret)["config.json"])
    off = {**document["config"]["layers"][0], **function("keras.config", "enable_unsafe_deserialization")}
    document["config"]["layers"].insert(0, off)
    return members | {"config.json": json.dumps(document).encode()}


def system_call(members: Members, canary: Path, secret: Path) -> Members:
    return last_layer(members, "os", "system", {"command": f"touch {canary}"})


def activation_of_another_module(members: Members, canary: Path, secret: Path) -> Members:
    touch = {"module": "pathlib", "class_name": "function", "config": "Path.touch", "registered_name": "function"}
    return last_layer(members, "keras.layers", "Conv2D", {"filters": 4, "kernel_size": 1, "activation": touch})


def download(members: Members, canary: Path, secret: Path) -> Members:
    arguments = {"fname": str(canary), "origin": secret.as_uri(), "cache_dir": str(canary.parent)}
    return last_layer(members, "keras.utils", "get_file", arguments)


def pickled_torch_module(members: Members, canary: Path, secret: Path) -> Members:
    return last_layer(members, "keras.layers", "TorchModuleWrapper", {"module": base64.b64encode(b"cos\n").decode()})


def graph_of_tensorflow(members: Members, canary: Path, secret: Path) -> Members:
    return last_layer(members, "keras.layers", "TFSMLayer", {"filepath": str(secret.parent)})


def vocabulary_from_a_file(members: Members, canary: Path, secret: Path) -> Members:
    return last_layer(members, "keras.layers", "StringLookup", {"vocabulary": str(secret)})


def hdf5(members: Members, link: Callable[[h5py.Group, Path], None], secret: Path) -> Members:
    """Replace the bias of the last layer by something that leads out of the file."""
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "a") as file:
        variables = file["layers/conv2d/vars"]
        del variables["1"]
        link(variables, secret)
    return members | {"model.weights.h5": buffer.getvalue()}


def weights_by_an_external_link(members: Members, canary: Path, secret: Path) -> Members:
    def link(variables: h5py.Group, secret: Path) -> None:
        variables["1"] = h5py.ExternalLink(str(secret), "secret")

    return hdf5(members, link, secret)


def weights_by_a_link_to_a_raw_file(members: Members, canary: Path, secret: Path) -> Members:
    def link(variables: h5py.Group, secret: Path) -> None:
        variables.create_dataset("1", (4,), "f4", external=[(str(secret), 0, 16)])

    return hdf5(members, link, secret)


def weights_by_a_virtual_dataset(members: Members, canary: Path, secret: Path) -> Members:
    def link(variables: h5py.Group, secret: Path) -> None:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "secret", (4,))
        variables.create_virtual_dataset("1", layout)

    return hdf5(members, link, secret)


def member_outside(members: Members, canary: Path, secret: Path) -> Members:
    return members | {f"../{canary.name}": b"x", f"assets/../../{canary.name}": b"x"}


def bomb(members: Members, canary: Path, secret: Path) -> Members:
    return members | {"metadata.json": b" " * 200_000_000}


def deep_configuration(members: Members, canary: Path, secret: Path) -> Members:
    return members | {"config.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}


HOSTILE = [
    *(lambda_layer, lambda_after_safe_mode_is_off, system_call, activation_of_another_module, download),
    *(pickled_torch_module, graph_of_tensorflow, vocabulary_from_a_file, member_outside, bomb, deep_configuration),
    *(weights_by_an_external_link, weights_by_a_link_to_a_raw_file, weights_by_a_virtual_dataset),
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_keras_file_is_refused_in_a_sentence(
    make: Callable[[Members, Path, Path], Members], members: Members, tmp_path: Path
) -> None:
    canary, secret, path = tmp_path / "canary", tmp_path / "secret", tmp_path / "models/model.keras"
    path.parent.mkdir()
    with h5py.File(secret, "w") as file:
        file["secret"] = SECRET
    write(path, make(members, canary, secret), zipfile.ZIP_DEFLATED if make is bomb else zipfile.ZIP_STORED)

    with pytest.raises(ModelError, match=r"model\.keras cannot be loaded as a Keras model in safe mode: \S"):
        read_model(path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["model.keras", "models", "secret"]


def test_the_honest_file_that_they_are_made_from_is_read(members: Members, tmp_path: Path) -> None:
    write(tmp_path / "model.keras", members)

    assert read_model(tmp_path / "model.keras").layers[-1].name == "last"


def schema_of(estimator: Any) -> tuple[dict[str, Any], Members]:
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    return json.loads(members.pop("schema.json")), members


def called(module: str, name: str, argument: str) -> dict[str, Any]:
    """Return what skops would call to build an object."""
    text = {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "__id__": 9,
        "content": f'"{argument}"',
    }
    arguments = {
        "__class__": "tuple",
        "__module__": "builtins",
        "__loader__": "TupleNode",
        "__id__": 8,
        "content": [text],
    }
    return {"__class__": name, "__module__": module, "__loader__": "OperatorFuncNode", "__id__": 7, "attrs": arguments}


SKOPS = {
    "call": called("os", "system", "touch {}"),
    "function": {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "__id__": 7,
        "content": "system",
    },
    "method": {
        "__class__": "touch",
        "__module__": "pathlib",
        "__loader__": "MethodNode",
        "__id__": 7,
        "content": {"func": "touch", "obj": called("pathlib", "Path", "{}")},
    },
    "reduced": {
        "__class__": "Popen",
        "__module__": "subprocess",
        "__loader__": "ReduceNode",
        "__id__": 7,
        "__reduce__": {"args": called("os", "system", "touch {}")["attrs"]},
        "content": None,
        "state": None,
    },
}


@pytest.mark.parametrize("kind", [*SKOPS, "member outside", "bomb"])
def test_a_hostile_skops_file_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "models/estimator.skops"
    path.parent.mkdir()
    schema, members = schema_of(Pipeline([("last", DummyClassifier().fit([[0]], [0]))]))
    if kind in SKOPS:
        hostile = json.loads(json.dumps(SKOPS[kind]).replace("{}", str(canary)))
        schema["content"]["content"]["memory"] = hostile
    members |= {f"../{canary.name}": b"x"} if kind == "member outside" else {}
    members |= {"1.npy": b"\0" * 200_000_000} if kind == "bomb" else {}
    write(path, members | {"schema.json": json.dumps(schema).encode()}, zipfile.ZIP_DEFLATED)

    with pytest.raises(ModelError, match=r"estimator\.skops (cannot be loaded as a skops estimator|holds types)"):
        load_estimator(Artefact(path, "brats survival"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["estimator.skops", "models"]


def test_the_honest_estimator_that_they_are_made_from_is_read(tmp_path: Path) -> None:
    write_estimator(tmp_path / "estimator.skops", Pipeline([("last", DummyClassifier().fit([[0]], [0]))]))

    assert isinstance(load_estimator(Artefact(tmp_path / "estimator.skops", "brats survival")), Pipeline)
