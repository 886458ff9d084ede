"""Execute notebooks in place and store their outputs: `python -m massrl.report.pictures.notebook FILE.ipynb ...`."""

from __future__ import annotations

import sys
from pathlib import Path

from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError, UserError

WIDGETS = "application/vnd.jupyter.widget-state+json"


def run(notebook: Path, folder: Path, seconds: int = 300) -> str:
    """Execute a notebook with `folder` as working directory; return its JSON text with the outputs.

    seconds: limit per cell.  The text is reproducible: it has no times, and widget ids are replaced by numbers.
    Raises ConfigError when nbclient is not installed, and nbclient's CellExecutionError when a cell fails.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError as error:
        raise ConfigError(f'{error.name} is not installed; notebooks run after pip install -e ".[notebook]"') from error
    found = nbformat.read(notebook, as_version=4)
    client = NotebookClient(found, timeout=seconds, resources={"metadata": {"path": str(folder)}}, record_timing=False)
    client.execute()
    text = nbformat.writes(found)
    for number, widget in enumerate(found.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})):
        text = text.replace(widget, f"{number:032x}")
    return nbformat.writes(nbformat.reads(text, as_version=4)) + "\n"  # parsed again to sort by the new ids


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        try:
            write_whole(path, run(path, path.parent).encode())
        except UserError as error:
            sys.exit(f"{path}: {error}")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
