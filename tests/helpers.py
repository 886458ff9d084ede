"""What several test files share."""

import contextlib
import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def test_data_folder() -> Path:
    """$MASSRL_TEST_DATA, else ../shared beside the checkout; it need not be there."""
    named = os.environ.get("MASSRL_TEST_DATA")
    return Path(named) if named else CHECKOUT.parent / "shared"


def test_data(*parts: str) -> Path:
    """A file or folder of the test data; skips without it."""
    path = test_data_folder().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; MASSRL_TEST_DATA names the folder of test data")
    return path


test_data.__test__ = test_data_folder.__test__ = False  # helpers, not tests


def running(group):
    """Processes of a group that have not ended, as Linux lists them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += [stat.parent.name] if int(its_group) == group and state not in "ZX" else []
    return found
