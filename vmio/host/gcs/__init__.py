"""The host's compute service: it brings a utility guest's agent up, creates containers there, and starts processes in them."""
