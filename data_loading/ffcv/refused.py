"""Names of FFCV that can be imported but not used: each use is an error that says what to use instead."""

from __future__ import annotations

from data_loading.errors import ViewError
from data_loading.ffcv.pipeline.operation import Operation

OWN_OP = "an op of one's own is an OwnOp, which a pipeline takes like any other op; docs/own_ops.md has an example"


def refused(name: str, why: str) -> type[Operation]:
    """A class of FFCV's name whose construction is a ViewError: scripts import names that they never use.

    why: what is not offered, and what to use instead.
    """
    message = f"{name} of FFCV is not offered: {why}"

    def refuse(self, *args, **kwargs):
        raise ViewError(message)

    return type(name, (Operation,), {"__init__": refuse, "__doc__": message, "__module__": __name__})
