"""One look for every figure: colours, type, and the way to SVG.

A figure becomes the same text every time: ids come from a fixed salt, there
is no date, and text stays text (so a browser test can read it).  What a user
has set in a matplotlibrc, for papers of his own, has no say in it.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from vmio.lab.palette import INK
from vmio.lab.plotting import matplotlib

FigureCanvasSVG, Figure = matplotlib.backends.backend_svg.FigureCanvasSVG, matplotlib.figure.Figure

TEXT, TITLE = 14, 15  # points; 96 screen pixels are 72 of them, so 14 pt is 18.7 px
RC = {
    "font.family": "DejaVu Sans", "font.size": TEXT, "axes.labelsize": TEXT, "axes.titlesize": TITLE,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "xtick.labelsize": TEXT, "ytick.labelsize": TEXT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK, "figure.facecolor": "white",
    "svg.hashsalt": "vmio", "svg.fonttype": "none", "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
}
_BACKEND = {"backend", "backend_fallback", "interactive", "toolbar"}  # which window a user's own figures open in


def _settings(more: Any = ()) -> dict[str, int]:
    """matplotlib's own defaults with `more` over them, checked once: checking at every drawing would cost milliseconds."""
    settings = matplotlib.rcParamsDefault.copy()
    settings.update(more)
    return {name: settings._get(name) for name in dict.keys(settings) if name not in _BACKEND}


_DRAWING = _settings({name: RC[name] for name in ("svg.hashsalt", "svg.fonttype")})
STYLE = _settings(RC)


@contextmanager
def look(settings: dict[str, int] = _DRAWING) -> Iterator[None]:
    """Inside, matplotlib has `settings` whatever the user has set; afterwards it has all of the user's again.

    `_get` and `_set` neither check again nor choose a backend; matplotlib keeps them stable for such uses.
    """
    params = matplotlib.rcParams
    users = {name: old for name, value in settings.items() if (old := params._get(name)) is not value}
    try:
        for name in users:
            params._set(name, settings[name])
        yield
    finally:
        for name, value in users.items():
            params._set(name, value)


def new_figure(width: float = 6.4, height: float = 2.8) -> Any:
    """A `Figure` (inches) that pyplot does not know, with our style; `axes` is added by `new_axes`."""
    with look(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
    return figure


def new_axes(figure: Any, left: float = 0.2, bottom: float = 0.2, right: float = 0.97, top: float = 0.86, title: str = "",
             pad: int = 6) -> Any:
    """The one axes of `figure`, at fixed margins: a layout engine would draw everything twice."""
    with look(STYLE):
        axes = figure.add_axes([left, bottom, right - left, top - bottom])
        axes.set_title(title, y=1.0, pad=pad)  # a given height: matplotlib need not look for one
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=3)
    return axes


def svg(figure: Any, label: str = "") -> str:
    """`figure` as an <svg> element (text), equal for equal drawings; `label` is its text alternative."""
    out = io.StringIO()
    with look():
        # print_svg, not savefig: savefig draws once more just to find the size.
        figure.canvas.print_svg(out, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg"):].strip()
    # Sizes in em: 1 em is 12 pt beside text of 16 px, and a panel's pictures grow with its text.
    text = re.sub(r' (width|height)="([\d.]+)pt"', lambda size: f' {size[1]}="{float(size[2]) / 12:.3f}em"', text, count=2)
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"font-family: [^;\"]*", "font-family: 'DejaVu Sans', Verdana, sans-serif", text)
    text = re.sub(r"\n\s*", "\n", re.sub(r' transform="rotate\(-?0 [^"]*"', "", text))
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label or "figure", quote=True)}" '
                        'stroke-linejoin="round"', 1)
