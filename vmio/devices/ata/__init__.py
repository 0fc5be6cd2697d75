"""An ATA disk and its channel, by programmed I/O and by bus master."""
