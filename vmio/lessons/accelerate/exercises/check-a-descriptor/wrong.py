def fits(job):
    """Takes a sum for a byte: three quarters of a product may lie beyond the chip."""
    if job.op == "MATMUL":
        areas = [(job.input, job.rows * job.depth), (job.weights, job.depth * job.cols), (job.output, job.rows * job.cols)]
    else:
        areas = [(job.output if job.op == "LOAD" else job.input, job.rows * job.cols)]
    return all(at + length <= 65_536 for at, length in areas)
