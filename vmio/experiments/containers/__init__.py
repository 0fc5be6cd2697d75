"""Containers: the same ones on one kernel or on a kernel each, what they share, and what a hostile one reaches.

`workload` says what they ask, `kernels` runs it both ways, `density` starts up to 64 of them from one real base layer, and in
`hostile` one of them reaches for its neighbour.
"""
