"""Which module needs which: what each says of itself in its file's section .modinfo, "depends=" (Linux Documentation/kbuild/modules.rst)."""

from collections.abc import Callable, Iterable

from vmio.linux.deb_wire import ELF, ELF_MAGIC, ELF_SECTION
from vmio.machine.layout import ShortMessage

SECTION = b".modinfo"


def needs(module: bytes, name: str = "module") -> list[str]:
    """Return the modules that must be loaded before this one; ValueError for what is no module's file."""
    for text in _section(module, name).split(b"\0"):
        if text.startswith(b"depends="):
            return [each for each in text[len(b"depends="):].decode("latin-1").split(",") if each]
    raise ValueError(f"{name}: it doesn't say what it depends on; is it a kernel's module?")


def _section(module: bytes, name: str) -> bytes:
    """The content of .modinfo."""
    try:
        head = ELF.parse(module)
        if head.magic != ELF_MAGIC or head.section_bytes != ELF_SECTION.size:
            raise ValueError(f"{name}: it is no module's file")
        sections = [ELF_SECTION.parse(module, head.sections + n * ELF_SECTION.size) for n in range(head.section_count)]
    except ShortMessage:
        raise ValueError(f"{name}: it is no module's file, or truncated") from None
    names = sections[head.names].offset if head.names < len(sections) else len(module)
    for section in sections:
        at = names + section.name
        if module[at:at + len(SECTION) + 1] == SECTION + b"\0":
            return module[section.offset:section.offset + section.size]
    raise ValueError(f"{name}: there is no section .modinfo in it")


def in_order(wanted: Iterable[str], read: Callable[[str], bytes]) -> list[str]:
    """Return the `wanted` modules and all that they need, each behind those that it needs; `read(name)` gives a file.

    ValueError for modules that need each other.
    """
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules {' -> '.join((*above, name))}: they need each other")
        if name not in order:
            for other in needs(read(name), name):
                visit(other, (*above, name))
            order.append(name)
    for name in wanted:
        visit(name, ())
    return order
