"""Sockets between a host and its guest (hvsocket): a channel of the bus for each connection, with a pipe of bytes in its rings."""
