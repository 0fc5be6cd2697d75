"""A vhost-user back end: a real Linux in QEMU uses our virtqueues, its memory shared with us by file descriptors."""
