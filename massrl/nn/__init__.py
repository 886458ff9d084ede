"""Parts of networks, and small functions on features, that torch and timm lack."""

from massrl.nn.feature_queue import FeatureQueue
from massrl.nn.mlp import mlp, projector
from massrl.nn.modes import evaluating
from massrl.nn.neighbours import knn_vote
from massrl.nn.prototypes import CosinePrototypes, Prototypes
from massrl.nn.target import Target
from massrl.nn.views import stack_views

__all__ = [
    "CosinePrototypes",
    "FeatureQueue",
    "Prototypes",
    "Target",
    "evaluating",
    "knn_vote",
    "mlp",
    "projector",
    "stack_views",
]
