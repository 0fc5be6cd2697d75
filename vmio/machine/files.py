"""Every file that this package writes: the new content is whole before anything of the old one goes.

`Output` writes into a file of its own in the same folder, flushes it to the
medium and renames it over the old one (rename is atomic: POSIX, rename()).
Whatever stops it on the way - a full disk, an error, a signal - the old file is
as it was; only after SIGKILL or a power cut a `.vmio-*.part` is left beside it.

A symbolic link stays one: what it points to is replaced.  A file with several
names (hard links) gets its new content under the one that was given.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Self

from vmio.machine.contracts import Buffer, FileName, Inputs, Readable

SECTOR = 512
_STEP = 2048         # sectors that `save` reads at a time
_HOLE = 64 << 10     # bytes: shorter runs of zeros are written, longer ones left out of the file
_ZEROS = bytes(_STEP * SECTOR)


def target(path: FileName, inputs: Inputs | None = None) -> str:
    """Return the path of the file that an output at `path` replaces, symbolic links followed.

    `inputs` is {option: path or None} of what the same run reads.  Raises
    ValueError, with the reason, for one of them under any of its names, for what
    standard input, output or error is, for what is no ordinary file (but
    for the null device) and where no file can be made.
    """
    name = os.fsdecode(path)
    if not name:
        raise ValueError("output: the name is empty; a file's name is needed")
    there = look(name)
    if there is not None:
        refuse_inputs(name, there, inputs)
        if is_null(there):
            return name
        kind = kind_of(there)
        if kind:
            raise ValueError(f"output {name}: it is {kind}; only an ordinary file can be replaced")
    if os.path.basename(name) in ("", os.curdir, os.pardir):
        raise ValueError(f"output {name}: it names a folder; a file's name is needed")
    real = os.path.realpath(name)
    folder = os.path.dirname(real)
    if not os.path.isdir(folder):
        raise ValueError(f"output {name}: there is no folder {folder}")
    if there is not None and not os.access(real, os.W_OK):
        raise ValueError(f"output {name}: the file is write-protected")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"output {name}: the folder {folder} is write-protected; a new file is written there, then renamed")
    return real


def look(name: str) -> os.stat_result | None:
    """Return what `os.stat` says of `name`, None if there is nothing yet; ValueError if it can't be found out."""
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"output {name}: {error.strerror}") from None


def refuse_inputs(name: str, there: os.stat_result, inputs: Inputs | None, streams: Iterable[int] = (0, 1, 2)) -> None:
    """Raise ValueError if the output `name`, of which `os.stat` said `there`, is an input or one of the standard streams."""
    if is_null(there):
        return
    for option, path in (inputs or {}).items():
        if path is not None and any(os.path.samestat(one, there) for one in _origins(path)):
            raise ValueError(f"output {name}: it is the same file as {option} {os.fsdecode(path)}, "
                             f"which is read; choose another name")
    for number in streams:
        if is_stream(there, number):
            stream = ("standard input", "standard output", "standard error")[number]
            raise ValueError(f"output {name}: it is {stream}; choose another name")


def is_stream(there: os.stat_result, number: int) -> bool:
    """Return whether a file, of which `os.stat` said `there`, is what standard stream `number` leads to."""
    try:
        return os.path.samestat(os.fstat(number), there)
    except OSError:      # it is closed
        return False


def _origins(path: FileName) -> list[os.stat_result]:
    """What `os.stat` says of an input, and of the file behind it if it is a Linux loop device; nothing of what isn't there."""
    found = []
    with suppress(OSError):
        found.append(os.stat(path))
        if stat.S_ISBLK(found[0].st_mode):
            device = os.path.realpath(f"/sys/dev/block/{os.major(found[0].st_rdev)}:{os.minor(found[0].st_rdev)}")
            for one in (device, os.path.dirname(device)):     # the device, or the one whose partition it is
                with suppress(FileNotFoundError), open(os.path.join(one, "loop", "backing_file"), "rb") as name:
                    found.append(os.stat(name.read().rstrip(b"\n")))
    return found


def kind_of(there: os.stat_result) -> str:
    """Return what a file is, with its article, as in "a folder"; "" for an ordinary file."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a block device", stat.S_IFCHR: "a character device",
             stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFREG: ""}
    return kinds.get(stat.S_IFMT(there.st_mode), "no ordinary file")


def is_null(there: os.stat_result) -> bool:
    """Return whether a file is the null device, which has nothing to lose."""
    try:
        null = os.stat(os.devnull)
    except OSError:
        return False
    return stat.S_ISCHR(there.st_mode) and there.st_rdev == null.st_rdev


class Output:
    """`with Output(path, inputs) as out: out.write(data)`: at the end of the block the file is there, whole.

    An exception within the block leaves the old file as it was.  ValueError as
    from `target`; OSError, with the file's name, if it can't be written.  A `new`
    file replaces nothing, also not what came a moment ago: ValueError.
    """

    def __init__(self, path: FileName, inputs: Inputs | None = None, new: bool = False) -> None:
        self.name, self.new = os.fsdecode(path), new
        if new and os.path.lexists(self.name):
            raise ValueError(self._taken())
        self.path = target(path, inputs)
        self._file: Any = None         # between enter and exit, a binary file
        self._part: str | None = None  # the name of the part beside

    def __enter__(self) -> Self:
        there = look(self.path)
        try:
            with self._told():
                if there is not None and is_null(there):
                    self._file = open(self.path, "wb")
                else:
                    self._beside(there)
        except BaseException:
            self.discard()
            raise
        return self

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        with self._told():
            self._file.write(data)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        with self._told():
            self._file.flush()

    def skip(self, length: int) -> None:
        """Append `length` zero bytes as a hole, which takes no room on the medium."""
        with self._told():
            if self._part:
                self._file.seek(length, os.SEEK_CUR)

    def discard(self) -> None:
        """Forget what was written; the old file stays."""
        if self._file:
            with suppress(OSError):     # it can't be flushed, either, when the disk is full
                self._file.close()
        if self._part:
            with suppress(OSError):
                os.unlink(self._part)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            with self._told():
                self._keep()
        except BaseException:
            self.discard()
            raise

    def _keep(self) -> None:
        self._file.flush()
        if self._part:
            self._file.truncate(self._file.tell())    # a hole at the end
            os.fsync(self._file.fileno())
        self._file.close()
        if self._part:
            (self._name_it if self.new else os.replace)(self._part, self.path)
            with suppress(OSError):                   # the name is on the medium, too; not every system can
                folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    def _name_it(self, part: str, path: str) -> None:
        """Give a part its name unless something has it; ValueError then."""
        try:
            os.link(part, path)
        except OSError:
            if os.path.lexists(path):
                raise ValueError(self._taken()) from None
            os.rename(part, path)       # a file system without links
        else:
            os.unlink(part)

    def _taken(self) -> str:
        return f"output {self.name}: something has that name, and it stays; choose another name"

    def _beside(self, there: os.stat_result | None) -> None:
        """Open a new file in the same folder, as only within one file system is a rename atomic; it gets the old one's rights."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        for n in count():            # one that SIGKILL left behind may have this name
            part = os.path.join(os.path.dirname(self.path), f".vmio-{os.getpid()}-{n}.part")
            with suppress(FileExistsError):
                self._file = open(os.open(part, flags, 0o666), "wb")
                self._part = part
                break
        if there is not None and hasattr(os, "fchown"):    # not on Windows
            with suppress(OSError):  # another owner's file in a folder of ours: it becomes ours
                os.fchown(self._file.fileno(), there.st_uid, there.st_gid)
            os.fchmod(self._file.fileno(), stat.S_IMODE(there.st_mode) & 0o777)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Puts the file's name and what became of it into an OSError."""
        try:
            yield
        except OSError as error:
            raise OSError(f"output {self.name}: {error.strerror or error}; what was there before is unchanged") from error


def write_text(path: FileName, text: str) -> None:
    """Make `text` (UTF-8, lines ended by LF) the content of the file at `path`, or leave it as it was."""
    with Output(path) as out:
        out.write(text.encode())


def write_new_text(path: FileName, text: str) -> None:
    """Make a new file of `text` as `write_text` does; ValueError, and nothing changed, if something has that name."""
    with Output(path, new=True) as out:
        out.write(text.encode())


def save(disk: Readable, path: FileName, inputs: Inputs | None = None) -> None:
    """Write all sectors of a disk to a raw image at `path`, runs of zeros as holes.

    `disk` has `sectors` and `read(lba, count)`, and may have `extents()`, beyond
    which it holds zeros: those are not even read.  Errors as `Output`'s.
    """
    with Output(path, inputs) as out:
        done = 0
        for start, end in disk.extents() if hasattr(disk, "extents") else [(0, disk.sectors)]:
            out.skip((start - done) * SECTOR)
            for lba in range(start, end, _STEP):
                _put(out, disk.read(lba, min(_STEP, end - lba)))
            done = end
        out.skip((disk.sectors - done) * SECTOR)


def _put(out: Output, data: Buffer) -> None:
    """Write `data`, its longer runs of zeros as holes."""
    if data == _ZEROS[:len(data)]:
        out.skip(len(data))
        return
    for at in range(0, len(data), _HOLE):
        piece = data[at:at + _HOLE]
        if piece == _ZEROS[:len(piece)]:
            out.skip(len(piece))
        else:
            out.write(piece)
