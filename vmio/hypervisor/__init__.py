"""The layer between guests and the machine: host, guest, vCPU, exits and what they cost."""
