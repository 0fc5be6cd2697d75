"""A kernel for everyone: where it comes from, what is kept of it, and the initramfs that it starts with.

    packages      which two packages of Debian's, which of their files, with their checksums
    apt, deb      where a package comes from, and how it is unpacked
    kept          the folder of what is kept, whole or not at all
    modinfo       which module needs which
    cpio          an archive as the kernel unpacks it
    initramfs     busybox, modules and a first program, in the same bytes each time

Linux and busybox are under the GPL, version 2; they are downloaded by whoever uses them, and nothing of them is part of vmio.
"""
