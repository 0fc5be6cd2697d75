"""What runs in a utility guest beside its disks: sockets to the host, and the agent that starts processes in a container."""
