"""A wire structure is declared once, with `Layout` or `BitLayout`: no format of several fields stands anywhere else."""

import ast
import re
from pathlib import Path

import pytest

import vmio

ROOM = Path(vmio.__file__).parent
# Not machine/ (layout.py itself; the formats of image files, each declared in its *_wire.py) and not processors/, which
# speaks the kernel's C structures.
ROOMS = ("hypervisor", "devices", "hardware", "vmbus", "virtio", "firmware", "linux", "passthrough", "drivers", "host", "modes", "experiments",
         "attacks", "oracle")
FILES = sorted(path for room in ROOMS for path in (ROOM / room).rglob("*.py"))
CALLS = {"Struct", "pack", "unpack", "pack_into", "unpack_from", "iter_unpack", "calcsize"}


def formats(source):
    """The formats of several different fields in calls of `struct`, as strings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in CALLS and node.args:
            first = node.args[0]
            if isinstance(first, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "2" for part in first.values)
            else:
                text = first.value if isinstance(first, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"[<>=!@]?(\d*[xcbB?hHiIlLqQnNefdspP])+", text):
                codes = re.findall(r"[a-zA-Z]", text)
                if len(set(codes)) > 1:
                    found.append(text)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOM).as_posix())
def test_no_structure_is_declared_beside_its_layout(path):
    name = path.relative_to(ROOM).as_posix()
    found = formats(path.read_text(encoding="utf-8"))
    assert not found, f"{name}: {', '.join(found)}"


@pytest.mark.parametrize("line, found", [
    ('struct.Struct("<IIQ")', ["<IIQ"]), ('struct.pack(">BB4xI2x", 1, 2, 3)', [">BB4xI2x"]), ('struct.pack(f"<{n}Q", *pages)', []),
    ('struct.unpack_from("<QQ", raw)', []), ('memory.pack("Q")', []), ('OPEN.struct.pack(1, 2)', []),
    ('struct.unpack(f"<I{n}Q", raw)', ["<I2Q"])])
def test_formats_are_found(line, found):
    assert formats(line) == found
