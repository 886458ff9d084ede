"""The Python code of docs/files.md runs as written, from top to bottom."""

import gc
import re

import pytest

from helpers import CHECKOUT


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves shards open
def test_the_code_of_the_page_runs(tmp_path):
    pytest.importorskip("webdataset")
    names = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "files.md").read_text(), re.S)
    for block in blocks:
        exec(compile(block, "docs/files.md", "exec"), names)
    gc.collect()  # while the filter for its warning is active
    assert len(blocks) == 6
