"""Render by the ops' NumPy references, slowly: for tests of the kernels, and for runs with MASSRL_REFERENCE=1.

Only the displacements of the elastic op, which are random numbers, are computed by compiled code.
"""

from __future__ import annotations

from data_loading.ops import normalize, program, resize
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet


def render(view_set: ViewSet, memory, start, height, width, plan: Plan, first: int, outs, scale, bias, kind: str):
    """Renderer.__call__ in NumPy: write samples first, first + 1, ... of a plan into outs.

    scale, bias (3,): x scale + bias is stored.  kind: the name of the batch's dtype.  All else: see Renderer.__call__.
    """
    for (side, members), out in zip(view_set.groups(), outs, strict=True):
        for i in range(len(start)):
            h, w = int(height[i]), int(width[i])
            image = memory[start[i] : start[i] + 3 * h * w].reshape(h, w, 3)
            for g, v in enumerate(members):
                b = first + i
                edge = view_set.crop_rule(view_set.views[v].crop).edge
                box, cubic = plan.box[v, b], view_set.interpolation == "bicubic"
                picture = resize.reference(image, box, (side, side), edge, cubic)
                picture = program.reference(plan.op[v, b], plan.arg[v, b], picture)
                picture = picture * scale.reshape(3, 1, 1) + bias.reshape(3, 1, 1)
                out[g, b] = normalize.as_dtype(picture, kind)
