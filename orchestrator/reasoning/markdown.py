"""Split a Markdown answer into prose and fenced blocks, tolerantly.

CommonMark 0.31, 4.5 defines fences. Models also omit the last fence, nest fences of equal length in a README, and
indent blocks in a list.
"""

from __future__ import annotations

import bisect
import html
import re
from dataclasses import dataclass, field

_OPEN = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*?)[ \t]*$")
_OPEN_LINE = re.compile(r"^(`{3,}|~{3,})\w", re.MULTILINE)
_HEADING = re.compile(r"[ \t]*(#{2,6}[ \t]+\S|\*\*[^*]+\*\*:?[ \t]*$)")
_SAYS = re.compile(r"(outputs?|check|needs?|done):", re.IGNORECASE)
_ENTITY = re.compile(r"&(lt|gt|amp|quot|#39|#x27);")

#: Maximum characters of a possible fence, and lines of lookahead. Both limits keep the parser fast on any answer.
LINE, AHEAD = 500, 500

#: Languages in which a line of three backticks is ordinary text.
MARKDOWN = ("markdown", "md", "mdx")

#: Languages of blocks in which a model thinks. They may contain drafts, and are left out.
THINKING = ("think", "thinking", "thought", "thoughts", "reasoning", "analysis", "scratchpad", "draft")

#: Invisible characters before a fence or a heading.
_INVISIBLE = re.compile(r"^[\u200b\ufeff\u2060\u00a0]+(?=[#`~])", re.MULTILINE)


@dataclass
class Block:
    """A fenced block: its info string, its text, and the prose lines before it."""

    info: str
    text: str
    before: list[str] = field(default_factory=list)
    closed: bool = True


@dataclass
class Document:
    """The blocks of an answer, and its prose without them."""

    blocks: list[Block]
    prose: list[str]


def split(text: str, whole: bool = True) -> Document:
    """Parse an answer, or the text of a block around a ``whole`` one. No text is rejected."""
    lines = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    found, prose, before, at = list[Block](), list[str](), list[str](), 0
    ends = [number for number, line in enumerate(lines) if line.rstrip().endswith("-->")]
    while at < len(lines):
        mark = _fence(lines[at])
        if mark is None and (end := _comment(lines, at, ends)):
            at = end
            continue
        if mark is None:
            prose.append(lines[at])
            before.append(lines[at])
            at += 1
            continue
        block, at = _block(lines, at, mark, before)
        if _language(block.info) not in THINKING or any(map(_MARKED.match, before[-2:])):
            found.append(block)
        before = []
    return (
        Document([one for block in found for one in (_inside(block) if whole else [block])], prose)
        if found
        else _without_fences(prose)
    )


def _language(info: str) -> str:
    return info.split(" ")[0].lower()


def _comment(lines: list[str], at: int, ends: list[int]) -> int:
    """Return the number of the line after an HTML comment of several lines, or 0. Such a comment may hold a draft.

    ``ends`` are the numbers of the lines that can end a comment.
    """
    if not lines[at].lstrip().startswith("<!--") or "-->" in lines[at]:
        return 0
    following = bisect.bisect_left(ends, at)
    return ends[following] + 1 if following < len(ends) and ends[following] < at + AHEAD else 0


_MARKED = re.compile(r"\s*#{2,4}[ \t]+(file|run)\b", re.IGNORECASE)


def _inside(block: Block) -> list[Block]:
    """Split a block whose first line is a heading that should stand before it."""
    if not _MARKED.match(block.text):
        return [block]
    if _OPEN_LINE.search(block.text):  # a fence around a whole answer
        return split(block.text, whole=False).blocks
    inner = [one for one in _without_fences(block.text.split("\n")).blocks if one.text.strip()]
    return [Block(block.info, one.text, one.before, block.closed) for one in inner]


def _without_fences(lines: list[str]) -> Document:
    """Parse an answer that has headings of files and commands, but no fences."""
    found, prose = list[Block](), list[str]()
    for line in lines:
        heading = len(line) <= LINE and re.match(r"#{2,4}[ \t]+(file|run)\b", line, re.IGNORECASE)
        if heading:
            found.append(Block("", "", [line]))
        elif found and _SAYS.match(line):
            prose.append(line)
        elif found:
            found[-1].text += f"{line}\n"
        else:
            prose.append(line)
    for block in found:
        block.text = block.text.strip("\n") + "\n"
    return Document(found, prose)


def _block(lines: list[str], at: int, mark: re.Match[str], before: list[str]) -> tuple[Block, int]:
    """Parse the block that opens at line ``at``. Also return the number of the line after it."""
    indent, fence, info = len(mark[1].expandtabs(4)), mark[2], mark[3]
    nests = _language(info) in (*MARKDOWN, *THINKING) or any(
        line.rstrip(" `*:").endswith(".md") for line in before[-2:]
    )
    content, depth, here = list[str](), 0, at + 1
    while here < len(lines):
        line = lines[here]
        inner = _fence(line)
        same = inner is not None and inner[2].startswith(fence)
        if inner is not None and same and not inner[3]:
            if depth == 0 and not (nests and _opens(lines, here, fence)):
                return _made(info, content, indent, before), here + 1
            depth += -1 if depth else 1
        elif inner is not None and same and nests:
            depth += 1
        elif inner is not None and same:
            # the closing fence is missing: the text after the last heading belongs to the next block
            kept = _without_heading(content)
            return _made(info, kept, indent, before, closed=False), here - (len(content) - len(kept))
        content.append(line)
        here += 1
    return _made(info, content, indent, before, closed=False), here


def _fence(line: str) -> re.Match[str] | None:
    return _OPEN.match(line) if len(line) <= LINE else None


def _opens(lines: list[str], at: int, fence: str) -> bool:
    """Return whether a bare fence inside a Markdown block opens a nested block, which needs enough closing fences
    below.
    """
    bare = 0
    for line in lines[at : at + AHEAD]:
        if re.match(r"###?[ \t]+(file|run)\b", line, re.IGNORECASE):
            break
        inner = _fence(line)
        if inner is not None and inner[2].startswith(fence):
            bare += -1 if inner[3] else 1
    return bare >= 3 and bare % 2 == 1


def _without_heading(content: list[str]) -> list[str]:
    kept = len(content)
    while kept and not content[kept - 1].strip():
        kept -= 1
    if kept and _HEADING.match(content[kept - 1]):
        return content[: kept - 1]
    return content


#: How the files of a job are shown to a model. Small models go on with this in their answer.
_SHOWN = re.compile(r"(All|Beginning) of \S+:$")


def _made(info: str, content: list[str], indent: int, before: list[str], closed: bool = True) -> Block:
    copied = next((n for n, line in enumerate(content) if n and len(line) <= LINE and _SHOWN.match(line)), None)
    lines = [re.sub(rf"^[ ]{{0,{indent}}}", "", line) if indent else line for line in content[:copied]]
    while lines and not lines[-1].strip():
        lines.pop()
    return Block(info, "".join(f"{line}\n" for line in lines), before, closed)


def unescaped(text: str, language: str) -> str:
    """Replace ``&lt;`` by ``<`` in code, except where a page may mean it."""
    if language in ("html", "xml", "svg", "markdown", "md") or not _ENTITY.search(text):
        return text
    return text if re.search(r"[<>]", text) else html.unescape(text)
