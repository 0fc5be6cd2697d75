"""The DEC 21140A and 21143, "Tulip": Hyper-V's legacy network adapter is a 21140A, QEMU's `tulip` a 21143."""
