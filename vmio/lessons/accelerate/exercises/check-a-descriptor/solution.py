def fits(job):
    """Return whether all that an operation touches lies in the 65,536 bytes of the chip."""
    if job.op == "MATMUL":
        areas = [(job.input, job.rows * job.depth), (job.weights, job.depth * job.cols),
                 (job.output, job.rows * job.cols * (1 if job.requantise else 4))]
    else:
        areas = [(job.output if job.op == "LOAD" else job.input, job.rows * job.cols)]
    return all(at + length <= 65_536 for at, length in areas)
