"""Op cases: each op with given numbers, and what Pillow, torchvision v2 and OpenCV make of the same image with the same
numbers. The parity tests, the parity table and the time per op are all made of these.
"""

from __future__ import annotations

from data_loading.bench.op_cases.case import OPENCV, PILLOW, TORCHVISION, Difference, Drawn, OpCase
from data_loading.bench.op_cases.colours import colours, filters
from data_loading.bench.op_cases.shapes import covers, crops, flips, warps

__all__ = ["OPENCV", "PILLOW", "TORCHVISION", "Difference", "Drawn", "OpCase", "cases"]


def cases(side: int = 224) -> list[OpCase]:
    """All cases for views of side x side."""
    return [c for group in (crops, flips, colours, filters, warps, covers) for c in group(side)]
