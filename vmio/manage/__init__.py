"""What a host's administrator does with guests that run."""
