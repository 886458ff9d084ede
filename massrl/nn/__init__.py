"""Parts of networks that torch and timm lack."""

from massrl.nn.mlp import mlp
from massrl.nn.target import Target
from massrl.nn.views import stack_views

__all__ = ["Target", "mlp", "stack_views"]
