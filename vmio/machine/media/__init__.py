"""Disks in files of the host: raw, gzip, VHD and VHDX, recognised by their content."""
