"""Hooks of mkdocs: pages and pictures that lie outside docs/ become part of the site, and links to them are led there.

README.md is the start page. A link from a page to another file of the repository, as ../massrl/losses/dino.py, leads
to a copy of that file in the site, under source/.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root, and every file that a page links to."""
    pages = {PurePosixPath("docs", file.src_uri): file.content_string for file in files.documentation_pages()}
    pages |= {PurePosixPath(path): (ROOT / path).read_text(encoding="utf-8") for path in PAGES}
    for path, target in PAGES.items():
        files.append(File.generated(config, target, content=pages[PurePosixPath(path)]))
    wanted = {linked(page, match["path"]) for page, text in pages.items() for match in LINK.finditer(text)}
    for path in sorted(path for path in wanted if path is not None):
        if place(path) not in files.src_uris:
            files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where the files lie in the site."""
    here = page.file.src_uri
    source = next((path for path, target in PAGES.items() if target == here), f"docs/{here}")

    def led(match: re.Match) -> str:
        path = linked(PurePosixPath(source), match["path"])
        if path is None:
            return match[0]
        up = "../" * here.count("/")
        return up + place(path) + (match["anchor"] or "")

    return LINK.sub(led, markdown)


def linked(page: PurePosixPath, link: str) -> str | None:
    """The file of the repository, as seen from its root, that a page's link leads to; None where it leads to none."""
    path = (ROOT / page.parent / link).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) and path.is_file() else None


def place(path: str) -> str:
    """Where a file of the repository lies in the site."""
    if path in PAGES:
        return PAGES[path]
    folder, _, rest = path.partition("/")
    return rest if folder == "docs" else path if folder == "images" else f"source/{path}"
