"""What the root partition runs: the physical disk, its block layer, and the policies that share it."""
