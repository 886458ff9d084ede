"""Op cases: each op with fixed numbers, in our kernels and as functions of Pillow, torchvision v2 and OpenCV.

The parity tests, the parity table and the time per op all use them.
"""

from __future__ import annotations

from data_loading.bench.op_cases.case import OPENCV, PILLOW, TORCHVISION, Difference, OpCase, StepRenderer
from data_loading.bench.op_cases.colours import colours, filters
from data_loading.bench.op_cases.shapes import covers, crops, flips, warps

__all__ = ["OPENCV", "PILLOW", "TORCHVISION", "Difference", "OpCase", "StepRenderer", "cases"]


def cases(side: int = 224) -> list[OpCase]:
    """All cases for views of side x side pixels."""
    return [c for group in (crops, flips, colours, filters, warps, covers) for c in group(side)]
