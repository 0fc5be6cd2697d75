"""Guest-side drivers: they see a CPU's instructions, RAM and interrupts, and nothing else."""
