"""Scrape a web site: python scrape.py [URL] [--max-pages N]

Follows links on the same host, as far as its robots.txt allows. Writes data.json (what each page has: title, headings,
text, links, tables) and data.csv (a line a page). Without a URL it scrapes sample_site.py, which it serves itself.
"""

import argparse
import csv
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import requests
from bs4 import BeautifulSoup
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

AGENT = "containerized-agent-scraper/1.0"
TIMEOUT, PAGE_BYTES, TEXT = 20, 5_000_000, 5000


@dataclass
class Page:
    """The stored data of a page."""

    url: str
    status: int
    title: str = ""
    description: str = ""
    language: str = ""
    headings: list[str] = field(default_factory=list)
    text: str = ""
    words: int = 0
    links: list[dict[str, str]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    error: str = ""


class Scraper:
    """One host, one session, one robots.txt."""

    def __init__(self, start: str, max_pages: int, delay: float) -> None:
        self.start, self.max_pages = start, max_pages
        self.host = urlsplit(start).netloc.lower()
        self.session = requests.Session()
        self.session.headers["User-Agent"] = AGENT
        retry = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))
        self.robots = self._robots()
        self.delay = min(10.0, float(self.robots.crawl_delay(AGENT) or delay))
        self.forbidden: list[str] = []

    def _robots(self) -> RobotFileParser:
        """Read robots.txt (RFC 9309). A missing file allows everything, a failing server nothing."""
        robots = RobotFileParser()
        parts = urlsplit(self.start)
        answer = self.session.get(f"{parts.scheme}://{parts.netloc}/robots.txt", timeout=TIMEOUT)
        if answer.status_code >= 500:
            robots.disallow_all = True
        elif answer.status_code >= 400:
            robots.allow_all = True
        else:
            robots.parse(answer.text[:500_000].splitlines())
        return robots

    def run(self) -> list[Page]:
        """Return the pages: the start page, then linked ones, nearest first."""
        waiting, known, pages = deque([self.start]), {self.start}, []
        while waiting and len(pages) < self.max_pages:
            url = waiting.popleft()
            if not self.robots.can_fetch(AGENT, url):
                self.forbidden.append(url)
                print(f"robots.txt forbids {url}")
                continue
            if pages:
                time.sleep(self.delay)
            page = self._page(url)
            if page is None:
                continue
            pages.append(page)
            print(f"{page.status}  {page.url}  {page.title or page.error}")
            for link in page.links:
                target = link["url"]
                if urlsplit(target).netloc.lower() == self.host and target not in known:
                    known.add(target)
                    waiting.append(target)
        return pages

    def _page(self, url: str) -> Page | None:
        """Return a page, or None for other kinds of files and redirections to another host."""
        try:
            with self.session.get(url, timeout=TIMEOUT, stream=True) as answer:
                if urlsplit(answer.url).netloc.lower() != self.host:
                    print(f"{url} leads to another host: left out")
                    return None
                if "html" not in answer.headers.get("Content-Type", "text/html"):
                    return None
                body = b""
                for block in answer.iter_content(65536):
                    body += block
                    if len(body) > PAGE_BYTES:
                        return Page(url, answer.status_code, error=f"is larger than {PAGE_BYTES:,} bytes")
                return read(Page(answer.url, answer.status_code), body, answer.encoding)
        except requests.RequestException as error:
            return Page(url, 0, error=f"{type(error).__name__}: {str(error)[:200]}")


def read(page: Page, body: bytes, encoding: str | None) -> Page:
    """Extract a page's content."""
    # without a charset, HTTP's default is only a guess
    declared = encoding if encoding and encoding.lower() != "iso-8859-1" else None
    soup = BeautifulSoup(body, "html.parser", from_encoding=declared)
    base = urljoin(page.url, soup.base["href"]) if soup.base and soup.base.get("href") else page.url
    page.title = _text(soup.title)
    description = soup.find("meta", attrs={"name": "description"})
    page.description = str(description.get("content", "")) if description else ""
    page.language = str(soup.html.get("lang", "")) if soup.html else ""
    page.tables = [
        [[_text(cell) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
        for table in soup.find_all("table")
    ]
    page.headings = [_text(heading) for heading in soup.find_all(["h1", "h2", "h3"])]
    page.images = [urljoin(base, str(image["src"])) for image in soup.find_all("img", src=True)]
    for link in soup.find_all("a", href=True):
        try:
            target = urldefrag(urljoin(base, str(link["href"]).strip())).url
        except ValueError:
            continue  # not a valid address
        if target.startswith(("http://", "https://")):
            page.links.append({"text": _text(link), "url": target})
    for unseen in soup(["title", "script", "style", "noscript", "template"]):
        unseen.decompose()
    text = _text(soup.body or soup)
    page.words, page.text = len(text.split()), text[:TEXT]
    return page


def _text(tag: object) -> str:
    return " ".join(tag.get_text(" ").split()) if tag else ""  # type: ignore[attr-defined]


def save(pages: list[Page], start: str, forbidden: list[str]) -> None:
    found = {"start": start, "pages": [asdict(page) for page in pages], "forbidden_by_robots_txt": forbidden}
    Path("data.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    with open("data.csv", "w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["url", "status", "title", "description", "first heading", "words", "links", "images", "tables"])
        for page in pages:
            heading = page.headings[0] if page.headings else ""
            counts = (page.words, len(page.links), len(page.images), len(page.tables))
            rows.writerow([page.url, page.status or page.error, page.title, page.description, heading, *counts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--max-pages", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds between two pages")
    given = parser.parse_args()
    if not given.url:
        import sample_site

        given.url, given.delay = sample_site.start(), 0.0
        print(f"No URL was given: scraping the sample site at {given.url}\n")
    try:
        scraper = Scraper(given.url, given.max_pages, given.delay)
    except requests.RequestException as error:
        sys.exit(f'{given.url} cannot be reached: {error}\nA job needs "network": "internet" for that.')
    pages = scraper.run()
    good = [page for page in pages if page.status and page.status < 400]
    save(pages, given.url, scraper.forbidden)
    if not good:
        why = (
            "its robots.txt forbids it"
            if scraper.forbidden
            else pages[0].error or f"status {pages[0].status}"
            if pages
            else "it is no page"
        )
        sys.exit(f"{given.url} could not be scraped: {why}")
    print(f"\n{len(good)} pages, {len(pages) - len(good)} failed; wrote data.json and data.csv")


if __name__ == "__main__":
    main()
