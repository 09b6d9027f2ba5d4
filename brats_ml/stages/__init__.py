"""The stages of dvc.yaml: each reads, computes, writes, and reports one line."""

from pathlib import Path

# Registered models of older versions name `brats_ml.stages.serving` as their loader, and MLflow imports it.
__path__.append(str(Path(__file__).parents[1] / "models" / "old_names"))
