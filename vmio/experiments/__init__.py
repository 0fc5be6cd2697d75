"""What guests do: block traces recorded from a real Linux guest, and synthetic ones."""
