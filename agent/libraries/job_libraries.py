"""Defaults of matplotlib and Pillow for jobs. ``job_libraries.pth`` imports this at each start of the users' Python.

- A character that the chosen font lacks comes from a font of ``FONTS``, whichever font the code chooses.
- A backend of matplotlib that shows windows is replaced, because no user closes its windows. ``MPLBACKEND`` in the
  environment keeps a backend.

Each change waits until its module is imported, so that a start of Python stays short.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Fonts for missing characters, with their families, in the order of their use.
FONTS = {
    "DejaVu Sans": "dejavu/DejaVuSans.ttf",
    "WenQuanYi Micro Hei": "wqy/wqy-microhei.ttc",
    "Loma": "tlwg/Loma.ttf",
    "Lohit Devanagari": "lohit-devanagari/Lohit-Devanagari.ttf",
    "Lohit Bengali": "lohit-bengali/Lohit-Bengali.ttf",
    "Lohit Gujarati": "lohit-gujarati/Lohit-Gujarati.ttf",
    "Lohit Gurmukhi": "lohit-punjabi/Lohit-Gurmukhi.ttf",
    "Lohit Kannada": "lohit-kannada/Lohit-Kannada.ttf",
    "Lohit Malayalam": "lohit-malayalam/Lohit-Malayalam.ttf",
    "Lohit Odia": "lohit-oriya/Lohit-Odia.ttf",
    "Lohit Tamil": "lohit-tamil/Lohit-Tamil.ttf",
    "Lohit Telugu": "lohit-telugu/Lohit-Telugu.ttf",
    "LKLUG": "sinhala/lklug.ttf",
    "Khmer OS": "khmeros/KhmerOS.ttf",
    "Phetsarath OT": "lao/Phetsarath_OT.ttf",
    "Padauk": "padauk/Padauk-Regular.ttf",
    "Abyssinica SIL": "abyssinica/AbyssinicaSIL-Regular.ttf",
    "DDC Uchen": "tibetan/DDC_Uchen.ttf",
    "Symbola": "ancient-scripts/Symbola_hint.ttf",
}
FOLDER = "/usr/share/fonts/truetype"

#: The beginnings of the names of backends that show windows, or figures that no document can keep.
WINDOWS = ("gtk", "ipympl", "macosx", "nbagg", "notebook", "qt", "tk", "webagg", "widget", "wx")
NOTEBOOK = "module://matplotlib_inline.backend_inline"


class AfterImport:
    """A finder that leaves modules to the other finders, and changes some of them after their import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        change = CHANGES.get(name)
        if change is None:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_change(module: Any) -> None:
                execute(module)
                try:
                    change(module)
                except Exception:  # noqa: S110 - another version of the library works without the change
                    pass

            spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def add_fonts(font_manager: Any) -> None:
    """Let matplotlib look for each missing glyph in ``FONTS``."""
    manager = font_manager.FontManager
    find = manager._find_fonts_by_props  # noqa: SLF001

    more: list[str] = []

    def find_with_more(self: Any, prop: Any, fontext: str = "ttf", *arguments: Any, **options: Any) -> Any:
        found = find(self, prop, fontext, *arguments, **options)
        if fontext != "ttf":
            return found
        for family in () if more else FONTS:
            try:
                more.append(self.findfont(font_manager.FontProperties(family=family), fallback_to_default=False))
            except ValueError:
                pass  # this image lacks it
        return found + [path for path in more if path not in found]

    manager._find_fonts_by_props = find_with_more  # noqa: SLF001


def replace_windows(registry: Any) -> None:
    """Let matplotlib load a backend without windows for one with windows, and say so once."""
    kind = registry.BackendRegistry
    load, resolve, resolve_name = kind.load_backend_module, kind.resolve_backend, kind.resolve_gui_or_backend
    told: set[str] = set()

    def instead_of(name: str) -> str:
        if not name.lower().startswith(WINDOWS) or name.lower() == os.environ.get("MPLBACKEND", "").lower():
            return name
        in_notebook = "ipykernel" in sys.modules and os.path.basename(sys.argv[0]).startswith("step-")
        if not told:
            told.add(name)
            goes = "its figures go to the notebook" if in_notebook else "save its figures with savefig"
            said = f"[matplotlib: {name} is replaced, because no user can close its windows: {goes}]"
            print(said, file=sys.stderr)
        return NOTEBOOK if in_notebook else "agg"

    def load_instead(self: Any, backend: str) -> Any:
        name = instead_of(backend)
        module = load(self, name)
        if name == NOTEBOOK != backend:
            from IPython.core.getipython import get_ipython

            module.configure_inline_support(get_ipython(), NOTEBOOK)
        return module

    kind.load_backend_module = load_instead
    kind.resolve_backend = lambda self, name: resolve(self, instead_of(name) if name else name)
    kind.resolve_gui_or_backend = lambda self, name: resolve_name(self, instead_of(name) if name else name)


def replace_fonts(image_font: Any) -> None:
    """Let Pillow draw a text with a font of ``FONTS`` if that font has more of the text's characters."""
    kind = image_font.FreeTypeFont
    characters: dict[str, frozenset[int]] = {}
    loaded: dict[tuple[str, float], Any] = {}

    def has(font: Any) -> frozenset[int]:
        """Return the code points of a font."""
        if not hasattr(font, "_code_points"):
            from io import BytesIO

            from fontTools.ttLib import TTFont

            content = getattr(font, "font_bytes", None)
            with TTFont(BytesIO(content) if content else font.path, fontNumber=font.index, lazy=True) as file:
                font._code_points = frozenset(file.getBestCmap())  # noqa: SLF001
        return font._code_points  # type: ignore[no-any-return]  # noqa: SLF001

    def candidate(name: str, size: float) -> Any:
        if (name, size) not in loaded:
            loaded[name, size] = image_font.truetype(f"{FOLDER}/{name}", size)
            if name in characters:
                loaded[name, size]._code_points = characters[name]  # noqa: SLF001
            characters[name] = has(loaded[name, size])
        return loaded[name, size]

    def best(font: Any, text: Any) -> Any:
        if not isinstance(text, str) or text.isascii():
            return font
        wanted = {ord(character) for character in text if not character.isspace()}
        chosen, missing = font, len(wanted - has(font))
        for name in FONTS.values():
            if not missing:
                break
            if os.path.exists(f"{FOLDER}/{name}"):
                other = candidate(name, font.size)
                if (lacks := len(wanted - has(other))) < missing:
                    chosen, missing = other, lacks
        return chosen

    def with_best(method: Callable[..., Any]) -> Callable[..., Any]:
        def draw(self: Any, text: Any, *arguments: Any, **options: Any) -> Any:
            try:
                font = best(self, text)
            except Exception:
                font = self  # a font that fontTools cannot read
            return method(font, text, *arguments, **options)

        return draw

    for name in ("getmask2", "getbbox", "getlength"):
        setattr(kind, name, with_best(getattr(kind, name)))


CHANGES = {
    "matplotlib.font_manager": add_fonts,
    "matplotlib.backends.registry": replace_windows,
    "PIL.ImageFont": replace_fonts,
}

sys.meta_path.insert(0, AfterImport())
