"""Which survival model goes with which segmentation model: whose label maps it learnt from, against who draws them."""

from brats_ml.adapters.tracking.registry import Version
from brats_ml.adapters.tracking.runs import KEY

# Tags of a registered survival model: `reference` or `predicted`, and the recipe and key of the model that predicted.
MASKS = "masks"
RECIPE = "segmentation"
RECIPE_KEY = "segmentation_key"


def incompatibility(survival: Version, segmentation: Version | None) -> str | None:
    """Return why a survival model may not be used on the label maps of a segmentation model, or None if it may.

    One that learnt from reference label maps goes with any, at a loss that the report tells. One that learnt from a
    model's own label maps, errors and all, goes with that model alone.
    """
    if survival.tags.get(MASKS, "reference") == "reference":
        return None
    learnt = f"{survival} learnt from label maps by {survival.tags.get(RECIPE)}"
    if segmentation is None:
        return f"{learnt}, and there is no segmentation champion to draw any"
    if segmentation.tags.get(KEY) == survival.tags.get(RECIPE_KEY):
        return None
    return f"{learnt}, and {segmentation} draws others"
