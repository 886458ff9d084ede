"""Methods in PySSL's form, for a plain PyTorch loop: loss = BYOL(backbone, feature_size)(images).

The images are augmented inside, each one by itself; the maths is that of massrl.methods. See docs/simple.md.
"""

from massrl.simple.clusters import DINO, SwAV
from massrl.simple.contrastive import SimCLR, SimCLRv2, SupCon
from massrl.simple.moco import MoCo, MoCoV2, MoCoV3
from massrl.simple.siamese import BYOL, BarlowTwins, SimSiam

__all__ = [
    "BYOL",
    "DINO",
    "BarlowTwins",
    "MoCo",
    "MoCoV2",
    "MoCoV3",
    "SimCLR",
    "SimCLRv2",
    "SimSiam",
    "SupCon",
    "SwAV",
]
