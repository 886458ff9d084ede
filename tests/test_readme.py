"""The commands that the pages tell to type are commands: each is read by its command's parser, none is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import ROOT, parse, shell_lines

PAGES = [page for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))]
# Lines that get, install or look at something; they belong to the user's machine.
ELSEWHERE = (
    "git",
    "pip",
    "python",
    "python3",
    "cd",
    "conda",
    "source",
    "ls",
    "cat",
    "open",
    "export",
    "ruff",
    "pytest",
)


def massrl_words(words: list[str]) -> list[str] | None:
    """The words after `massrl` that a line amounts to; None where there is nothing to parse."""
    words = list(words)
    while words and re.match(r"\w+=", words[0]):  # VENV=path before a command
        del words[0]
    if not words or words[0] in ELSEWHERE:
        return None
    if words[0] == "massrl":
        return words[1:]
    if words[0] == "torchrun":
        return words[words.index("--") + 2 :]
    if words[0] in ("sbatch", "bash"):  # the script is the first word that names one
        del words[: next(i for i, word in enumerate(words) if word.endswith(".sh"))]
    script, rest = ROOT / words[0], words[1:]
    assert script.is_file(), f"neither massrl nor a script of this checkout: {' '.join(words)}"
    if script.name in ("test.sh", "check.sh", "figures.sh", "run"):
        return None
    if script.name == "quickstart.sh":
        return ["quickstart", *without_index(rest)]
    called = re.search(r"^(?:exec|srun --wait 120) massrl (.*?)( --trainer.*)?$", script.read_text(), re.M)[1]
    return [*called.replace('"$root/', "").replace('"$@"', "").replace('"', "").split(), *rest]


def without_index(words: list[str]) -> list[str]:
    """Words of quickstart.sh less those that it passes on to pip."""
    kept = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("--index-url", "--extra-index-url"):
            skip = True
        elif not word.startswith(("--index-url=", "--extra-index-url=")):
            kept.append(word)
    return kept


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_parses(page: Path, monkeypatch):
    for words in shell_lines(page.read_text()):
        if (called := massrl_words(words)) is not None:
            parse(called, monkeypatch)


def test_the_readme_shows_the_two_commands():
    typed = [" ".join(words) for words in shell_lines((ROOT / "README.md").read_text())]
    for command in ("bash bash_files/quickstart.sh", "bash bash_files/test.sh"):
        assert any(line.startswith(command) for line in typed), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_to_files_of_the_checkout_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)", page.read_text())
    local = [a or b for a, b in targets if "://" not in (a or b)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)


LOOK = """
from data_loading.views.view_sets import get
assert [view.strategy for view in get("gray").views] == ["gray", "gray"]
"""


def test_the_examples_of_contributing_work():
    """Those that are no files of their own, which tests/massrl/methods/test_own_method.py runs."""
    code = "\n".join([*(b for b in python_blocks("CONTRIBUTING.md") if not b.startswith("# ")), LOOK])
    # a process of its own: the example registers a strategy
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", ["from massrl.simple import", "Batch.from_views"])
def test_the_loops_of_the_readme_run(part):
    (code,) = [block for block in python_blocks("README.md") if part in block]
    strict = ["-W", "error"] if "pl.Trainer" not in code else []  # Lightning warns of short runs and few workers
    done = subprocess.run([sys.executable, *strict, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "pl.Trainer" not in code or "`max_epochs=1` reached" in done.stderr


def test_the_first_lines_of_python_pretrain_measure_and_load(tmp_path):
    """As they are written, but for settings that make them quick."""
    from massrl.cli.samples import sample_folder

    (code,) = [block for block in python_blocks("README.md") if "massrl.pretrain(" in block]
    images = sample_folder(tmp_path)
    images.rename(tmp_path / "my_images")
    (tmp_path / "other_images").symlink_to(tmp_path / "my_images")
    quick = 'minutes=0.02, backbone="tiny_resnet", size=16, batch_size=4, num_workers=1'
    code = code.replace("minutes=4", quick) + "print(type(encoder).__name__, run.method)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "TinyResNet SimCLR"


@pytest.mark.parametrize("heading", ["# Methods", "## What each learns in ten seconds"])
def test_each_table_of_methods_names_them_all(heading):
    from massrl.methods import METHODS

    page = "\n" + (ROOT / "docs/methods.md").read_text()
    section = page.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows))) == sorted(METHODS)


def test_the_method_table_of_the_readme_is_the_registrys():
    from massrl.methods import METHODS

    table = re.search(r"<!-- methods.*?-->\n(.*?)\n\n", (ROOT / "README.md").read_text(), re.S)[1].splitlines()
    summaries = {name: METHODS.summary(name).partition(": ")[2] for name in METHODS}
    assert table[2:] == [f"| `{name}` | {summaries[name]} |" for name in METHODS]
