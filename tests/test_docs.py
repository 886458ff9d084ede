"""The pages: each is in the site's navigation once, and each link and picture leads to a file and a heading of it."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
AT_THE_TOP = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)


def named(entry) -> list[str]:
    """The pages of mkdocs.yml's nav, which nests sections as lists of one-key mappings."""
    if isinstance(entry, str):
        return [entry]
    if isinstance(entry, dict):
        return [page for value in entry.values() for page in named(value)]
    return [page for one in entry for page in named(one)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs both make them from plain words."""
    headings = re.findall(
        r"^#+ +(.*)$", CODE.sub(lambda m: m[0].strip("`") if m[0][:3] != "```" else "", page.read_text()), re.M
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_navigation_names_every_page_once():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = named(yaml.safe_load(text)["nav"])
    assert sorted(pages) == sorted([*(str(page.relative_to(ROOT / "docs")) for page in PAGES), *AT_THE_TOP])


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / name for name in AT_THE_TOP.values())], ids=lambda p: p.stem)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_of_it(page):
    for path, anchor in LINK.findall(CODE.sub("", page.read_text())):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path} is not there"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {path}#{anchor} is no heading"
