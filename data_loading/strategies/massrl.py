"""The two strategies of MASSRL's TensorFlow code (Tran et al., arXiv:2205.11772).

The paper's figure and the PyTorch code use the strategies simclr, randaugment, autoaugment and fastautoaugment instead.
Differs from the TensorFlow code: the four ops of the colour jitter are in random order, and brightness is a factor, not
an addend.
"""

from data_loading.ops import Op, UniformCrop
from data_loading.strategies.autoaugment import autoaugment_policies
from data_loading.strategies.chain import chain
from data_loading.strategies.strategy import STRATEGIES, Strategy


def _ops() -> list[Op]:
    return chain((0.32, 0.32, 0.16, 0.02), blur=1.0)


@STRATEGIES.register
def massrl_tf_simclr() -> Strategy:
    """MASSRL's TensorFlow code, SimCLR: crop of the image's shape, flip, weak jitter, grayscale, always blur."""
    return Strategy("massrl_tf_simclr", [_ops()], crop=UniformCrop())


@STRATEGIES.register
def massrl_tf_autoaugment(policy: str = "imagenet") -> Strategy:
    """MASSRL's TensorFlow code, AutoAugment: the ops of massrl_tf_simclr, then AutoAugment.

    policy: "imagenet", "cifar10" or "svhn".
    """
    return Strategy("massrl_tf_autoaugment", [[*_ops(), autoaugment_policies(policy)]], crop=UniformCrop())
