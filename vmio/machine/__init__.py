"""What every machine is made of: a clock, memory, page tables, buses, interrupt lines."""
