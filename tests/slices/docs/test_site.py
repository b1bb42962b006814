"""The site is whole: no link or anchor leads nowhere, and reading it asks no other host."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from slices.docs.pages import PAGES, ROOT, anchors, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository(page: str) -> None:
    """As they are followed where the repository is read, without the site."""
    for link in _LINK.findall(prose(page)):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        path = (ROOT / page).parent / unquote(parts.path) if parts.path else ROOT / page
        assert path.exists(), f"{page}: {link}"
        if parts.fragment:
            target = path.resolve().relative_to(ROOT).as_posix()
            assert parts.fragment in anchors(target), f"{page}: {link}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class _Fetched(HTMLParser):
    """Collects what a browser fetches by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        url = found.get(_FETCHED.get(tag, ""))
        if url and found.get("rel") not in ("canonical", "next", "prev", "edit"):
            self.urls.append(url)


def test_reading_asks_no_other_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = _Fetched()
        fetched.feed(page.read_text())
        assert fetched.urls, page
        for url in fetched.urls:
            parts = urlsplit(url)
            assert not parts.scheme, f"{page.relative_to(site)} fetches {url}"
            assert not parts.netloc, f"{page.relative_to(site)} fetches {url}"
            if page.name != "404.html":
                assert (page.parent / unquote(parts.path)).exists(), (page, url)
        # The theme would fetch the library that draws diagrams from elsewhere.
        assert 'class="mermaid"' not in page.read_text()
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", style.read_text()), style


def test_every_page_is_found_from_the_first(site: Path) -> None:
    first = (site / "index.html").read_text()
    pages = {
        page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page[:5] == "docs/"
    }
    assert pages
    for page in pages - {"index"}:
        assert f'href="{page}.html"' in first, page
    assert (site / "repository" / "openapi.json").exists()
    assert (site / "search" / "search_index.json").stat().st_size > 10_000
