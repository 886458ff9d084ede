"""The Lightning package whose classes ours are made from: `pytorch_lightning`, or its mirror `lightning.pytorch`.

Both are the same code under two names, but a Trainer of one refuses modules and data modules of the other. The choice
is made once, when this module is first imported: MASSRL_LIGHTNING where it is set; else `lightning.pytorch` where only
that one has been imported so far; else `pytorch_lightning`. So a script that uses the mirror imports it before massrl.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from data_loading.errors import ConfigError

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
VARIABLE = "MASSRL_LIGHTNING"


def chosen(imported: Container[str], environment: Mapping[str, str]) -> str:
    """The name of the package to use, given the names of the modules imported so far and the environment variables."""
    usual, mirror = PACKAGES
    asked = environment.get(VARIABLE)
    if asked and asked not in PACKAGES:
        raise ConfigError(f"{VARIABLE} is {asked!r}; choose one of {', '.join(PACKAGES)}, or unset it")
    return asked or (mirror if mirror in imported and usual not in imported else usual)


if TYPE_CHECKING:
    import pytorch_lightning as pl
else:
    pl = import_module(chosen(sys.modules, os.environ))

__all__ = ["PACKAGES", "VARIABLE", "chosen", "pl"]
