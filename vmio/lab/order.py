"""Cells that run before those above them: the error says what to run."""

from types import TracebackType
from typing import Any

SENTENCE = "If a cell above makes it, that cell hasn't run yet: choose Run > Run All Above Selected Cell, then run this cell again."


def install() -> None:
    """Add a sentence to each NameError in a notebook; nothing outside of IPython."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and not shell.custom_exceptions:
        shell.set_custom_exc((NameError,), explain)


def explain(shell: Any, kind: type, error: NameError, trace: TracebackType, tb_offset: int | None = None) -> None:
    """Show the error as IPython does, and SENTENCE under it, if the name was looked for by the cell itself."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    if trace.tb_frame.f_globals is shell.user_global_ns and trace.tb_frame.f_code.co_name == "<module>":
        error.add_note(SENTENCE)
    shell.showtraceback((kind, error, error.__traceback__), tb_offset=tb_offset)
