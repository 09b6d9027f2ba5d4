"""What postprocessing removed from a prediction, as a record for JSON and as flags for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from brats_ml.segmentation.inference.postprocessing import Removed

# A noisy network leaves thousands of single voxels; the totals count them all.
LISTED = 20
FATES = {"WT": "dropped", "ET": "relabelled as NCR"}


def removal_record(removed: Sequence[Removed]) -> dict[str, Any]:
    """Return per region how many pieces were removed, their volume in ml, and the largest of them one by one."""
    return {
        region: {
            "fate": FATES[region],
            "pieces": len(pieces),
            "ml": round(sum(piece.ml for piece in pieces), 6),
            "highest_probability": round(max(piece.highest_probability for piece in pieces), 4),
            "largest": [
                {name: round(value, 6) for name, value in asdict(piece).items() if name != "region"}
                for piece in pieces[:LISTED]
            ],
        }
        for region, pieces in _by_region(removed).items()
    }


def removal_flags(removed: Sequence[Removed]) -> list[str]:
    """Return one sentence per region from which something was removed."""
    return [
        f"{FATES[region]}: {len(pieces)} piece(s) of {region}, {sum(piece.ml for piece in pieces):.3f} ml, probability "
        f"up to {max(piece.highest_probability for piece in pieces):.2f}"
        for region, pieces in _by_region(removed).items()
    ]


def _by_region(removed: Sequence[Removed]) -> dict[str, list[Removed]]:
    return {region: pieces for region in FATES if (pieces := [piece for piece in removed if piece.region == region])}
