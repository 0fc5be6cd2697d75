"""The colours, lines and marks of every drawing, in the page and in print.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which stay
apart for colour-blind readers.  Modes get the dark ones (they draw lines), the
parts of a request's time light ones (they fill bars that carry their own label
in black); copying and waiting are paler than in their scheme, where a
deuteranope takes them for exits and devices.  No colour has two meanings, so
all that is neither mode nor part (guests, rings, transfers) is drawn in colours
of Paul Tol's "muted" scheme (https://personal.sron.nl/~pault/), made for the
same readers, and black, where there are six.  Colour never stands alone: lines also differ by dash and mark.
"""

OKABE_ITO = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73",
    "yellow": "#F0E442", "blue": "#0072B2", "vermillion": "#D55E00", "purple": "#CC79A7",
}
MODE = {"emulated": OKABE_ITO["vermillion"], "split": OKABE_ITO["blue"], "passthrough": OKABE_ITO["green"]}
PART = {"guest": OKABE_ITO["sky"], "exit": OKABE_ITO["orange"], "device": OKABE_ITO["purple"], "copy": "#FFF3A0",
        "waiting": "#EEEEEE"}
END = {"overwritten": "#CC6677", "refused": "#999933",      # what became of a write;
       "unnoticed": "#CC6677", "noticed": "#999933", "garbled": "#DDDDDD"}     # the same of a change: let through, stopped, or noise
OTHERS = ("#332288", "#999933", "#882255", "#CC6677", "#AA4499", "#000000")
INK, PALE = "#222222", "#DDDDDD"    # words and axes; the lines of a grid

DASHES = ("solid", "dashed", "dashdot", "dotted")
MARKERS = ("circle", "square", "diamond", "triangle", "down", "hexagon")
_MODES = tuple(MODE)


def color(name: str, index: int = 0) -> str:
    """The fixed colour of a mode, part or end, or the `index`-th of the others for any other name."""
    return MODE.get(name) or PART.get(name) or END.get(name) or OTHERS[index % len(OTHERS)]


def dash(name: str, index: int = 0) -> str:
    """The kind of line of a mode, or the `index`-th for any other name; one of DASHES."""
    return DASHES[(_MODES.index(name) if name in MODE else index) % len(DASHES)]


def marker(name: str, index: int = 0) -> str:
    """The mark of a mode, or the `index`-th for any other name; one of MARKERS."""
    return MARKERS[(_MODES.index(name) if name in MODE else index) % len(MARKERS)]
