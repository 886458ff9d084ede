"""massrl: self-supervised visual learning with PyTorch Lightning.

>>> import massrl
>>> run = massrl.pretrain("my_images/", method="SimCLR", out="runs/first", minutes=4)
>>> massrl.linear(run, train="my_images/", test="other_images/").accuracy
>>> encoder = massrl.load(run).encoder

Importing the package is quick: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from massrl._version import __version__

if TYPE_CHECKING:  # what a type checker and an editor see
    from massrl import errors as errors
    from massrl import losses as losses
    from massrl import simple as simple
    from massrl.backbones.weights_check import check_weights as check_weights
    from massrl.dense.detect import detect as detect
    from massrl.dense.result import Detection as Detection
    from massrl.dense.result import Segmentation as Segmentation
    from massrl.dense.segment import segment as segment
    from massrl.evaluation.accuracy import Accuracy as Accuracy
    from massrl.evaluation.accuracy import knn as knn
    from massrl.evaluation.accuracy import linear as linear
    from massrl.evaluation.classify.result import Classified as Classified
    from massrl.evaluation.comparison import Comparison as Comparison
    from massrl.evaluation.comparison import compare as compare
    from massrl.evaluation.embedding import Embedding as Embedding
    from massrl.evaluation.embedding import embed as embed
    from massrl.evaluation.embedding import features as features
    from massrl.evaluation.finetune import finetune as finetune
    from massrl.evaluation.measured import Measured as Measured
    from massrl.evaluation.measured import measure as measure
    from massrl.evaluation.semi import semi as semi
    from massrl.evaluation.transfer.result import Transfer as Transfer
    from massrl.evaluation.transfer.transfer import transfer as transfer
    from massrl.exporting.export import export as export
    from massrl.exporting.loading import load_encoder as load_encoder
    from massrl.leaks.check import DataCheck as DataCheck
    from massrl.leaks.check import check_data as check_data
    from massrl.methods import list_methods as list_methods
    from massrl.methods.barlow_twins import BarlowTwins as BarlowTwins
    from massrl.methods.base import Method as Method
    from massrl.methods.byol import BYOL as BYOL
    from massrl.methods.checkpoints import load as load
    from massrl.methods.dino import DINO as DINO
    from massrl.methods.massrl import MASSRL as MASSRL
    from massrl.methods.moco import MoCo as MoCo
    from massrl.methods.moco_v2 import MoCoV2 as MoCoV2
    from massrl.methods.moco_v2_plus import MoCoV2Plus as MoCoV2Plus
    from massrl.methods.moco_v3 import MoCoV3 as MoCoV3
    from massrl.methods.mv_massrl import MVMASSRL as MVMASSRL
    from massrl.methods.mv_massrl import MVMASSRLDINO as MVMASSRLDINO
    from massrl.methods.nnclr import NNCLR as NNCLR
    from massrl.methods.simclr import SimCLR as SimCLR
    from massrl.methods.simclr_v2 import SimCLRv2 as SimCLRv2
    from massrl.methods.simsiam import SimSiam as SimSiam
    from massrl.methods.supcon import SupCon as SupCon
    from massrl.methods.supervised import Supervised as Supervised
    from massrl.methods.swav import SwAV as SwAV
    from massrl.methods.vicreg import VICReg as VICReg
    from massrl.optim import OptimConfig as OptimConfig
    from massrl.report.neighbours import Neighbours as Neighbours
    from massrl.report.neighbours import neighbours as neighbours
    from massrl.runs.folder import Run as Run
    from massrl.training.pretrain import pretrain as pretrain

_HOME = {
    "Accuracy": "evaluation.accuracy",
    "BYOL": "methods.byol",
    "BarlowTwins": "methods.barlow_twins",
    "Comparison": "evaluation.comparison",
    "Classified": "evaluation.classify.result",
    "DINO": "methods.dino",
    "DataCheck": "leaks.check",
    "Detection": "dense.result",
    "Embedding": "evaluation.embedding",
    "MASSRL": "methods.massrl",
    "MVMASSRL": "methods.mv_massrl",
    "MVMASSRLDINO": "methods.mv_massrl",
    "Measured": "evaluation.measured",
    "Method": "methods.base",
    "MoCo": "methods.moco",
    "MoCoV2": "methods.moco_v2",
    "MoCoV2Plus": "methods.moco_v2_plus",
    "MoCoV3": "methods.moco_v3",
    "NNCLR": "methods.nnclr",
    "Neighbours": "report.neighbours",
    "OptimConfig": "optim",
    "Run": "runs.folder",
    "Segmentation": "dense.result",
    "SimCLR": "methods.simclr",
    "SimCLRv2": "methods.simclr_v2",
    "SimSiam": "methods.simsiam",
    "SupCon": "methods.supcon",
    "Supervised": "methods.supervised",
    "SwAV": "methods.swav",
    "Transfer": "evaluation.transfer.result",
    "VICReg": "methods.vicreg",
    "check_data": "leaks.check",
    "check_weights": "backbones.weights_check",
    "compare": "evaluation.comparison",
    "detect": "dense.detect",
    "embed": "evaluation.embedding",
    "export": "exporting.export",
    "features": "evaluation.embedding",
    "finetune": "evaluation.finetune",
    "knn": "evaluation.accuracy",
    "linear": "evaluation.accuracy",
    "list_methods": "methods",
    "load": "methods.checkpoints",
    "load_encoder": "exporting.loading",
    "measure": "evaluation.measured",
    "neighbours": "report.neighbours",
    "pretrain": "training.pretrain",
    "segment": "dense.segment",
    "semi": "evaluation.semi",
    "transfer": "evaluation.transfer.transfer",
}
_MODULES = ("errors", "losses", "simple")
__all__ = ["__version__", *sorted([*_HOME, *_MODULES])]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
