"""Unicorn, if it is there: an optional package, of one version, whose private state this floor reads."""

import ctypes
from collections.abc import Callable
from importlib import metadata
from typing import Any

VERSION = "2.1.4"
INSTALL = f"pip install unicorn=={VERSION}"
_INSN_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)   # (engine, user data) -> skip the instruction?


def missing() -> str | None:
    """Return None if Unicorn can be used, else one sentence that says what to do."""
    try:
        found = metadata.version("unicorn")
    except metadata.PackageNotFoundError:
        return f"machine code needs Unicorn, a processor in software: {INSTALL}"
    if found != VERSION:
        return f"machine code needs Unicorn {VERSION}, whose state it knows; {found} is installed: {INSTALL}"
    try:
        import unicorn  # noqa: F401
    except (ImportError, OSError) as error:
        return f"Unicorn {VERSION} is installed, but can't be loaded here: {error}"
    return None


def check() -> None:
    """Raise ValueError, with `missing`'s sentence, if Unicorn can't be used."""
    why = missing()
    if why is not None:
        raise ValueError(why)


def engine() -> Any:
    """Return a new processor in 64-bit mode.

    An address at which it should stop is never given: each stop would look that up in the guest's page tables, and the page
    fault of it would destroy CR2.
    """
    import unicorn
    made = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    made.ctl_exits_enabled(True)
    made.ctl_set_exits([])
    return made


def call(name: str, engine: Any, *arguments: Any) -> None:
    """Call a function of the C library itself; RuntimeError for its error."""
    from unicorn.unicorn_py3.unicorn import uclib
    status = getattr(uclib, name)(engine._uch, *arguments)
    if status:
        raise RuntimeError(f"unicorn: {name} failed with {status}")


def hook_instruction(engine: Any, instruction: int, function: Callable[[], int]) -> Any:
    """Call `function()` for each such instruction; true skips it.  Returns what must be kept as long as the engine.

    The binding knows fewer instructions than the library.
    """
    import unicorn
    callback = _INSN_CALLBACK(lambda uch, data: function())
    handle = ctypes.c_size_t()
    call("uc_hook_add", engine, ctypes.byref(handle), ctypes.c_int(unicorn.UC_HOOK_INSN), callback, None,
         ctypes.c_uint64(1), ctypes.c_uint64(0), ctypes.c_int(instruction))
    return callback
