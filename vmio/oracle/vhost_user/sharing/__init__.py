"""What a front end shares with us: files as memory, the guest's regions, the memory for what is under way."""
