"""The first file system of a kernel: busybox, modules and a first program, in the same bytes each time.

    build(kept, ["await /dev/sda", "mark start", "dd if=/dev/sda of=/dev/null bs=4096 count=16 iflag=direct", "mark end"])

The first program mounts /proc, /sys and /dev, loads the modules, runs the commands one after the other, and switches the
machine off; without commands there is a shell on the console.  Two small programs are there for commands: `mark WORD` says
"VMIO-MARK WORD" at once and on the console, while what `echo` says to it waits in a buffer; `await FILE` waits until
it is there.  The archive is not compressed: then its bytes depend on no library's version.
"""

from collections.abc import Mapping, Sequence

from vmio.linux import cpio
from vmio.linux.kept import Kept
from vmio.linux.modinfo import in_order

DISKS = ("ata_piix", "hv_storvsc", "sd_mod")         # NVMe and ext4 are built into this kernel
MARK, READY, DONE, LEFT = "VMIO-MARK", "ready", "done", "shutdown"
UTILITIES = "hv_utils"           # the module by which a host asks Linux to shut down: it runs /sbin/poweroff
FOLDERS = ("bin", "dev", "etc", "mnt", "modules", "proc", "root", "sys", "tmp")
APPLETS = (
    "ash", "awk", "blockdev", "cat", "chmod", "clear", "cmp", "cp", "cttyhack", "cut", "date", "dd", "df", "dmesg", "du", "echo", "env",
    "expr", "false", "fdisk", "find", "free", "grep", "gunzip", "gzip", "halt", "head", "hexdump", "hostname", "id", "ifconfig", "insmod",
    "ip", "kill", "less", "ln", "ls", "lsmod", "lsscsi", "md5sum", "mkdir", "mke2fs", "mknod", "more", "mount", "mv", "nc", "od", "ping",
    "poweroff", "printf", "ps", "pwd", "readlink", "reboot", "rm", "rmdir", "rmmod", "sed", "seq", "setsid", "sh", "sha256sum", "sleep",
    "sort", "stat", "strings", "stty", "sync", "tail", "tar", "tee", "test", "time", "top", "touch", "tr", "true", "tty", "umount", "uname",
    "uniq", "uptime", "vi", "wc", "wget", "which", "xargs", "xxd", "yes")
FIRST = f"""#!/bin/sh
# The first program: what the kernel starts when it has brought itself up.
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read module options; do
    insmod /modules/$module.ko $options || echo "VMIO: module $module is not loaded"
done < /etc/modules
mark {READY} "$(uname -r)"
cd /root
if [ -f /etc/commands ]; then
    sh /etc/commands
    mark {DONE}
else
    setsid cttyhack sh
fi
sync
poweroff -f
"""
MARKING = f"""#!/bin/sh
# Tell who watches the console how far we are: the kernel writes its messages at once.
echo "<1>{MARK} $*" > /dev/kmsg
"""
LEAVING = f"""#!/bin/sh
# What the kernel runs when the host has asked it to shut down.
mark {LEFT}
sync
exec poweroff -f
"""
WAITING = """#!/bin/sh
# Wait until files are there, ten seconds at most.
n=0
for file; do
    while [ ! -e "$file" ]; do
        n=$((n + 1))
        [ $n -le 100 ] || { echo "await: there is no $file" >&2; exit 1; }
        sleep 0.1
    done
done
"""


def build(kept: Kept, commands: Sequence[str] = (), modules: Sequence[str] = DISKS,
          programs: Mapping[str, bytes] | None = None) -> bytes:
    """Return the archive.  `modules` are names, or "name option=value ..."; what they need comes along; `programs` go to /bin.

    ValueError for a module that is not kept, for commands and options that don't fit on a line.
    """
    options: dict[str, str] = {}
    for words in modules:
        name, _, rest = _one_line("module", words).strip().partition(" ")
        options[name] = rest.strip()
    order = in_order(options, kept.module)
    members = [cpio.folder(name) for name in FOLDERS]
    members += [cpio.character_device("dev/console", 5, 1), cpio.file("init", FIRST.encode(), 0o755),
                cpio.file("bin/mark", MARKING.encode(), 0o755), cpio.file("bin/await", WAITING.encode(), 0o755),
                cpio.file("bin/busybox", kept.read("busybox"), 0o755)]
    if UTILITIES in order:
        members += [cpio.folder("sbin"), cpio.file("sbin/poweroff", LEAVING.encode(), 0o755)]
    members += [cpio.link(f"bin/{applet}", "busybox") for applet in APPLETS]
    members.append(cpio.file("etc/modules", "".join(f"{name} {options.get(name, '')}".rstrip() + "\n" for name in order).encode()))
    if commands:
        members.append(cpio.file("etc/commands", "".join(_one_line("command", each) + "\n" for each in commands).encode()))
    members += [cpio.file(f"bin/{name}", program, 0o755) for name, program in (programs or {}).items()]
    members += [cpio.file(f"modules/{name}.ko", kept.module(name)) for name in order]
    return cpio.archive(members)


def _one_line(what: str, text: str) -> str:
    """`text`; ValueError if it is none, or several lines."""
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{what} {text!r}: one line of printable characters is needed")
    return text
