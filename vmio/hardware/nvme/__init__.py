"""An NVMe controller: registers, queues, commands, and its virtual functions."""
