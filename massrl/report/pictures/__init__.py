"""Pictures of ops, strategies, view sets and seeds: each function takes images and returns a matplotlib Figure.

`python -m massrl.report.pictures images/` writes the pictures of the README and of docs/pictures.md. Ops, strategies
and view sets are read from their registries, so a newly registered one appears in the pictures.
"""

from massrl.report.pictures.draw import draw_views
from massrl.report.pictures.moving import gif, slider
from massrl.report.pictures.of_ops import op, ops
from massrl.report.pictures.of_seeds import seeding, shared_draws
from massrl.report.pictures.of_strategies import strategies, strategy
from massrl.report.pictures.of_views import replay, view_set
from massrl.report.pictures.photographs import photographs

__all__ = [
    "draw_views",
    "gif",
    "op",
    "ops",
    "photographs",
    "replay",
    "seeding",
    "shared_draws",
    "slider",
    "strategies",
    "strategy",
    "view_set",
]
