"""What MkDocs does beside its own work when it builds the site (``mkdocs.yml`` names this file)."""

import logging
import re
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"(?<=\]\()(?:\.\./)+[^)#\s]+")
_log = logging.getLogger("mkdocs.docs_hooks")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave ``docs/`` for a file of the repository lead to a copy of it."""
    folder = normpath(f"docs/{page.file.src_uri}/..")

    def lead(found: re.Match[str]) -> str:
        target = normpath(f"{folder}/{found[0]}")
        if target.startswith("docs/"):
            return found[0]
        if target.startswith("..") or not (ROOT / target).is_file():
            _log.warning("%s: there is no %s", page.file.src_uri, target)  # fails a strict build
            return found[0]
        copy = f"repository/{target}"
        if files.get_file_from_path(copy) is None:
            files.append(File.generated(config, copy, abs_src_path=str(ROOT / target)))
        return relpath(f"docs/{copy}", folder)

    return _LINK.sub(lead, markdown)
