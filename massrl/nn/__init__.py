"""Parts of networks that torch and timm lack."""

from massrl.nn.mlp import mlp, projector
from massrl.nn.target import Target
from massrl.nn.views import stack_views

__all__ = ["Target", "mlp", "projector", "stack_views"]
