"""VMBus itself: messages, GPADLs, rings and channels; guest and host share them, and they know no device."""
