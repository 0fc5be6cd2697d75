"""Virtual PCI on VMBus: how a guest learns of a function that was given to it."""
