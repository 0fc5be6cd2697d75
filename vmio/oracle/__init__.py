"""Doors for judges from outside, who drive our devices as they drive the real ones."""
