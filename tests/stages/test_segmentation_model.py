import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import read_model, write_model
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS
from brats_ml.config import Params
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.errors import BratsError, ConfigError, ModelError
from brats_ml.imaging.channels import region_channels
from brats_ml.models.folder import read_label_set
from brats_ml.models.modality_subsets import keep_only, subsets
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.segmentation.inference.baseline import predict_labels
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.workspace.outputs import ModelFolder
from brats_ml.workspace.state import GraphCache

SHAPE = (28, 24, 20)


def trained(path: Path, recipe: dict[str, Any], *, regions: int = 3) -> ModelFolder:
    """The folder of a network with random weights, as training leaves it."""
    network = region_unet(
        dimensions=recipe["dimensions"],
        channels=RegionsRecipe.model_validate(recipe).channels,
        regions=regions,
        filters=recipe["filters"],
        stem=recipe["stem"],
        seed=0,
    )
    folder = ModelFolder(path)
    write_model(folder.networks(1)[0], network)
    files.write_json(folder.recipe, recipe)
    return folder


@pytest.fixture(scope="session")
def recipe(params: Params) -> Callable[..., dict[str, Any]]:
    def small(name: str, **more: Any) -> dict[str, Any]:
        patch = [16, 16, 16] if name == "regions3d" else [16, 16]
        return params.recipe(name).model_dump() | {"patch": patch, "batch": 1, "filters": [4, 8]} | more

    return small


@pytest.fixture(scope="session")
def volumetric(tmp_path_factory: pytest.TempPathFactory, recipe: Callable[..., dict[str, Any]]) -> ModelFolder:
    """Read only."""
    return trained(tmp_path_factory.mktemp("model"), recipe("regions3d"))


@pytest.fixture
def image() -> np.ndarray:
    """A head of four modalities, whose brain is smaller than the volume, as int16."""
    generator = np.random.default_rng(0)
    image = np.zeros((4, *SHAPE), dtype=np.int16)
    image[:, 3:25, 4:22, 2:19] = generator.integers(1, 900, (4, 22, 18, 17))
    return image


@pytest.mark.parametrize("name", ["regions3d", "regions2d"])
@pytest.mark.parametrize("preset", ["fast", "best"])
def test_regions_come_back_at_native_resolution_and_nothing_outside_the_brain(
    name: str, preset: str, recipe: Callable[..., dict[str, Any]], image: np.ndarray, tmp_path: Path
) -> None:
    segment = load_segmentation_model(trained(tmp_path, recipe(name)), preset=preset)

    labels, probabilities = segment(image)

    brain = (image != 0).any(axis=0)
    assert (labels.shape, labels.dtype) == (SHAPE, np.uint8)
    assert (probabilities.shape, probabilities.dtype) == ((3, *SHAPE), np.float32)
    assert not probabilities[:, ~brain].any()
    assert ((probabilities[:, brain] > 0) & (probabilities[:, brain] < 1)).all()
    np.testing.assert_array_equal(labels != 0, (probabilities > 0.5).any(axis=0))
    assert segment.passes >= (4 if preset == "best" else 1)
    assert f"preset {preset}" in segment.spent()


@pytest.mark.parametrize("contralateral", [False, True])
def test_one_patch_over_the_whole_brain_is_one_pass_of_the_network(
    contralateral: bool, recipe: Callable[..., dict[str, Any]], image: np.ndarray, tmp_path: Path
) -> None:
    """By reference: the network itself on the channels of the brain, without windows; a brain of exactly a patch."""
    image[:, :6], image[:, 22:], image[..., 18:] = 0, 0, 0
    box = (slice(6, 22), slice(4, 20), slice(2, 18))
    image[:, :, 20:] = 0
    folder = trained(tmp_path, recipe("regions3d", contralateral=contralateral))

    _, probabilities = load_segmentation_model(folder, preset="fast", window=(16, 16, 16), runtime="keras")(image)

    channels = region_channels(image[(slice(None), *box)], contralateral=contralateral)
    inputs = np.moveaxis(channels, 0, -1)[None]
    logits = np.asarray(read_model(folder.networks(1)[0].path).predict_on_batch(inputs))[0]
    np.testing.assert_allclose(probabilities[(slice(None), *box)], np.moveaxis(expit(logits), -1, 0), atol=1e-5)


def test_a_model_of_before_the_other_side_was_seen_still_predicts(
    recipe: Callable[..., dict[str, Any]], image: np.ndarray, tmp_path: Path
) -> None:
    folder = trained(tmp_path, recipe("regions3d", contralateral=False))
    stored = files.read_json(folder.recipe)
    files.write_json(folder.recipe, {key: stored[key] for key in stored if key != "contralateral"})

    labels, _ = load_segmentation_model(folder, preset="fast", runtime="keras")(image)

    assert labels.any()


def test_both_runtimes_give_the_same_labels(volumetric: ModelFolder, image: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra `infer` is not installed")
    labels, probabilities = load_segmentation_model(volumetric, runtime="keras")(image)

    for _ in range(2):  # exported, then read back
        fast = load_segmentation_model(volumetric, runtime="openvino", graphs=GraphCache(tmp_path / "graphs"))
        again, chances = fast(image)

        np.testing.assert_allclose(chances, probabilities, atol=1e-3)
        assert np.mean(again == labels) >= 0.9999
    assert len(list((tmp_path / "graphs").iterdir())) == len(fast.windows) == 2


def test_the_baselines_method_is_kept_to_the_letter(params: Params, image: np.ndarray, tmp_path: Path) -> None:
    chosen = params.recipe("baseline_mini").model_dump() | {
        "size": 16,
        "filters": [4, 8],
        "slices": {"first": 1, "count": 9},
    }
    folder = ModelFolder(tmp_path)
    (network,) = folder.networks(1)
    write_model(network, unet(size=16, channels=2, classes=4, filters=[4, 8], dropout=0.2, seed=0))
    files.write_json(folder.recipe, chosen)

    labels, probabilities = load_segmentation_model(folder, preset="best", runtime="keras")(image)

    model = read_model(network.path)
    expected = predict_labels(model, image, modalities=["flair", "t1ce"], size=16, first=1, count=9)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(probabilities, expected[1])


def test_a_models_own_preset_and_rules_hold(volumetric: ModelFolder, image: np.ndarray, tmp_path: Path) -> None:
    folder = ModelFolder(shutil.copytree(volumetric, tmp_path / "model"))
    files.write_json(folder.inference, {"preset": "fast", "windows": [[20, 16, 16], [16, 16, 16]]})
    never = {"thresholds": dict.fromkeys(("WT", "TC", "ET"), 0.999), "minimum_et": 0, "minimum_component": 0}
    files.write_json(folder.postprocessing, {"rules": never})

    segment = load_segmentation_model(folder)

    labels, probabilities = segment(image)
    assert (segment.preset, segment.windows) == ("fast", [(20, 16, 16), (16, 16, 16)])
    assert not labels.any()
    assert (probabilities > 0.5).any()
    best = load_segmentation_model(folder, preset="best")
    assert (best.preset, best.windows) == ("best", [(16, 16, 16), (24, 24, 24), (32, 32, 32)])
    assert load_segmentation_model(folder, window=(16, 16, 16)).windows == [(16, 16, 16)]


@pytest.mark.parametrize("runtime", ["keras", "openvino"])
def test_windows_of_several_sizes_are_averaged(
    runtime: str, volumetric: ModelFolder, image: np.ndarray, tmp_path: Path
) -> None:
    """By law: the mean of what each size of windows alone gives."""
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="the extra `infer` is not installed")
    how = {"preset": "balanced", "runtime": runtime, "graphs": GraphCache(tmp_path / "graphs")}

    _, both = load_segmentation_model(volumetric, **how)(image)

    alone = [load_segmentation_model(volumetric, window=(size,) * 3, **how)(image)[1] for size in (16, 24)]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)


def test_the_cost_is_told_before_a_case_is_seen(volumetric: ModelFolder) -> None:
    cost = load_segmentation_model(volumetric, preset="best").cost()

    assert "6069 windows of 16x16x16 and" in cost  # 17 x 21 x 17
    assert "each seen in 2 mirrored copies" in cost


def test_a_missing_modality_is_named(volumetric: ModelFolder, image: np.ndarray) -> None:
    image[2] = 0

    with pytest.raises(ModelError, match="no t1ce"):
        load_segmentation_model(volumetric)(image)
    with pytest.raises(ModelError, match="3 modalities"):
        load_segmentation_model(volumetric)(image[:3])


def test_a_model_that_dropped_modalities_in_training_predicts_any_of_them_but_not_none(
    recipe: Callable[..., dict[str, Any]], image: np.ndarray, tmp_path: Path
) -> None:
    dropping = recipe("regions2d")
    dropping["augmentation"] = dropping["augmentation"] | {"drop_modalities": 0.3}
    segment = load_segmentation_model(trained(tmp_path / "model", dropping), runtime="keras")

    maps = {kept: segment(keep_only(image, kept))[0] for kept in subsets(segment.modalities)}

    assert len(maps) == 15
    assert maps["flair", "t1", "t1ce", "t2"].shape == SHAPE
    assert segment.needed(["t2"]) == ["t2"]
    with pytest.raises(ModelError, match="no flair, t1, t1ce, t2, which the model needs"):
        segment(np.zeros_like(image))


def spoil(path: Path) -> None:
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    members["model.weights.h5"] = members["model.weights.h5"][:400]
    with zipfile.ZipFile(path, "w") as rewritten:
        for name, content in members.items():
            rewritten.writestr(name, content)


def holding(name: str, text: str) -> Callable[[Path], object]:
    """Return what puts a text into a file of the model's folder."""
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.keras").write_bytes(b"no zip"), "cannot be loaded"),
        (lambda folder: spoil(folder / "model.keras"), "cannot be loaded"),
        (lambda folder: (folder / "model.keras").unlink(), "does not exist"),
        (holding("recipe.json", '{"method": "regions"}'), "train the model again"),
        (holding("recipe.json", '{"method": ["seed"]}'), "train the model again"),
        (holding("recipe.json", '"seed"'), "train the model again"),
        (holding("recipe.json", "{"), "not valid JSON"),
        (holding("postprocessing.json", '{"rules": {"size": 3}}'), "no rules"),
        (holding("postprocessing.json", "[]"), "no rules"),
        (holding("postprocessing.json", '{"rules": {"thresholds": [1]}}'), "no rules"),
        (holding("inference.json", '{"preset": "slow", "windows": null}'), "preset slow"),
        (holding("inference.json", "3"), "does not fit this version"),
        (holding("inference.json", '{"preset": [], "windows": null}'), "preset: must be text"),
        (holding("inference.json", '{"preset": "fast", "windows": 5}'), "windows: must be a list"),
        (holding("inference.json", '{"preset": "fast", "windows": []}'), "windows: must have at least 1"),
        (holding("inference.json", '{"preset": "fast", "windows": [[0, 16, 16]]}'), "must be at least 1"),
        (holding("verdict.json", '{"folds": {"one": 0, "other": 1}}'), "fold-0.keras does not exist"),
        (
            lambda folder: files.write_json(
                ModelFolder(folder).recipe,
                files.read_json(ModelFolder(folder).recipe) | {"contralateral": False},
            ),
            "a network of 8 input channels, but its recipe.json asks for 4",
        ),
        (holding("inference.json", '{"preset": "fast"}'), "does not fit this version"),
        (
            lambda folder: files.write_json(
                folder / "labels.json", LABEL_SETS[GLIOMA].to_dict() | {"labels": {"NCR": 1, "ED": 2, "ET": 4}}
            ),
            "another label scheme",
        ),
    ],
)
def test_a_damaged_model_ends_in_a_sentence(
    damage: Callable[[Path], object], sentence: str, volumetric: ModelFolder, tmp_path: Path
) -> None:
    folder = shutil.copytree(volumetric, tmp_path / "model")
    damage(folder)

    with pytest.raises(BratsError, match=sentence):
        load_segmentation_model(ModelFolder(folder))


def test_a_network_of_other_regions_is_refused(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    folder = trained(tmp_path, recipe("regions3d"), regions=2)

    with pytest.raises(ModelError, match="another label scheme"):
        load_segmentation_model(folder)


def test_a_recipe_that_was_never_planned_is_refused(
    recipe: Callable[..., dict[str, Any]], volumetric: ModelFolder, tmp_path: Path
) -> None:
    folder = ModelFolder(shutil.copytree(volumetric, tmp_path / "model"))
    files.write_json(folder.recipe, recipe("regions3d", patch=None))

    with pytest.raises(ModelError, match="leaves patch open"):
        load_segmentation_model(folder)


@pytest.mark.parametrize("window", [(16, 16), (18, 16, 16)])
def test_a_window_that_the_network_cannot_take_is_refused(volumetric: ModelFolder, window: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="3 axes, each a multiple of 4"):
        load_segmentation_model(volumetric, window=window)


def test_a_label_set_that_this_version_does_not_know_is_named(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    files.write_json(folder.labels, {"label_set": "glioma-2031", "labels": {}, "regions": {}})

    with pytest.raises(ModelError, match=r"names label set glioma-2031, but this version knows glioma, .*goat: train"):
        read_label_set(folder)

    files.write_json(folder.labels, {"labels": {"NCR": 1, "ED": 2, "ET": 3}, "regions": {}})
    with pytest.raises(ModelError, match="has labels or regions other than NCR, ED, ET and WT, TC, ET"):
        read_label_set(folder)
    folder.labels.path.unlink()
    assert read_label_set(folder) is LABEL_SETS[GLIOMA]
