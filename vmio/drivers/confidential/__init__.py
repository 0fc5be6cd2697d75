"""What a guest's drivers do besides, if their guest is confidential: share pages, bounce buffers, take no offer that they don't know."""
