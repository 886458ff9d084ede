"""Run notebooks in place and keep their outputs: `python -m massrl.report.pictures.notebook FILE.ipynb ...`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from data_loading.whole import write_whole


def run(notebook: Path, folder: Path, seconds: int = 300) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run in `folder`; nbclient's CellExecutionError where a cell fails.

    seconds: for each cell.
    """
    found = nbformat.read(notebook, as_version=4)
    # without times: a run that draws the same leaves the same file
    client = NotebookClient(found, timeout=seconds, resources={"metadata": {"path": str(folder)}}, record_timing=False)
    return client.execute()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        done = run(Path(name), Path(name).parent)
        write_whole(Path(name), nbformat.writes(done).encode())
        print(f"{name}: {Path(name).stat().st_size / 1000:.0f} kB")
