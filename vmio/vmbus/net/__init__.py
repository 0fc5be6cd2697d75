"""The split network card: what NetVSC and NetVSP say to each other, and the host's half of it."""
