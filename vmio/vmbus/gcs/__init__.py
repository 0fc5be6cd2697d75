"""The bridge: what a host and the agent in a utility guest say to each other over a socket, to start processes in a container."""
