"""The code of docs/ffcv.md runs as it stands, and its tables name what there is."""

import inspect
import re

import data_loading.ffcv.transforms
from data_loading.ffcv import fields, pipeline
from data_loading.ffcv.fields import decoders
from data_loading.ffcv.loader import Loader, OrderOption
from helpers import CHECKOUT

PAGE = CHECKOUT / "docs" / "ffcv.md"


def test_the_code_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/ffcv.md", "exec"), names)
    assert len(blocks) == 2 and next(iter(names["loader"]))[3].shape == (16, 3, 64, 64)


def test_the_page_names_every_name_that_can_be_imported():
    words = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.S)
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", words))))
    offered = [name for part in (data_loading.ffcv.transforms, fields, decoders, pipeline) for name in part.__all__]
    offered += [name for name in inspect.signature(Loader._begin).parameters if name != "self"]
    offered += [option.name for option in OrderOption]
    assert [name for name in offered if name not in named] == []
