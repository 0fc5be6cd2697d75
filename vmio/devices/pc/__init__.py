"""The small chips of a PC: timers, clocks, interrupt controllers, the serial port, the keyboard controller."""
