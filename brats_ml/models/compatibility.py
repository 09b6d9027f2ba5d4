"""Check whether a survival model may use the label maps of a segmentation model."""

from brats_ml.adapters.tracking.runs import KEY
from brats_ml.adapters.tracking.version import Version

# Tags of a registered survival model. The first is `reference` or `predicted`. The others are the recipe and the key of
# the segmentation model that predicted the label maps.
MASKS = "masks"
RECIPE = "segmentation"
RECIPE_KEY = "segmentation_key"


def incompatibility(survival: Version, segmentation: Version | None) -> str | None:
    """Return why a survival model must not use the label maps of a segmentation model, or None if it may.

    A survival model that was trained on reference label maps may use those of any segmentation model; the report says
    what that costs. One that was trained on the label maps of a segmentation model, with the errors in them, may use
    those of that model only.
    """
    if survival.tags.get(MASKS, "reference") == "reference":
        return None
    trained = f"{survival} was trained on label maps by {survival.tags.get(RECIPE)}"
    if segmentation is None:
        return f"{trained}, but there is no segmentation champion"
    if segmentation.tags.get(KEY) == survival.tags.get(RECIPE_KEY):
        return None
    return f"{trained}, but {segmentation} is another model"
