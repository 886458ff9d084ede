"""SwAV's augmentation (Caron et al., arXiv:2006.09882, and the authors' code): SimCLR's ops with other crop areas."""

from data_loading.ops import RandomResizedCrop
from data_loading.strategies.chain import chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def swav() -> Strategy:
    """SwAV: global crops of area 0.14 to 1, local crops of area 0.05 to 0.14; SimCLR's ops."""
    ops = chain((0.8, 0.8, 0.8, 0.2), blur=0.5)
    return Strategy("swav", [ops], crop=RandomResizedCrop((0.14, 1.0)), local_crop=RandomResizedCrop((0.05, 0.14)))
