"""The page docs/simple.md: its code runs from top to bottom, and its table is that of the classes."""

import inspect
import re

import torch

from helpers import CHECKOUT
from massrl import simple
from simple_models import model

PAGE = (CHECKOUT / "docs" / "simple.md").read_text()


def test_the_code_of_the_page_runs():
    names = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 3
    torch.manual_seed(0)
    exec("\n".join(blocks[:2]), names)
    assert names["features"].shape == (8, 512) and names["projections"].shape == (8, 128)
    assert [tuple(view.shape) for view in names["views"]] == [(8, 3, 32, 32)] * 2
    exec(blocks[2], names)
    assert names["model"].steps == 3 and names["model"].draws == 6


def test_the_table_of_the_page_is_that_of_the_classes():
    table = re.search(r"<!-- table: the signatures.*?-->\n(.*?)\n\n", PAGE, re.S)[1].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert sorted(row[0].strip("`") for row in rows) == sorted(simple.__all__)
    for name, arguments, views, attributes in rows:
        cls = getattr(simple, name.strip("`"))
        own = list(inspect.signature(cls).parameters.values())[2:]
        own = own[: [p.name for p in own].index("image_size")]
        assert arguments == f"`{', '.join(f'{p.name}={p.default}' for p in own)}`"
        one = model(cls.__name__)
        assert {f"`{view.strategy}`" for view in one.view_set.views} == {views}
        for attribute in re.findall(r"`(\w+)`", attributes):
            assert hasattr(one, attribute), (name, attribute)
