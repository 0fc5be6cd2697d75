from collections import Counter


def polled(accesses):
    """The port that is read most often in all: a register that is read once after each write is not polled."""
    return Counter(port for instruction, port in accesses if instruction == "IN").most_common(1)[0][0]
