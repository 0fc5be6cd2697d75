"""What the host physically has: device controllers that move data by DMA and interrupt by message."""
