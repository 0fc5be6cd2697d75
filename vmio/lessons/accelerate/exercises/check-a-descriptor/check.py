from types import SimpleNamespace

from vmio import engine_job, engine_registers
from vmio.lab import expect, seeded

CHIP = 1 << 16


def allowed(job):
    """The engine's own answer, from the bytes of the descriptor."""
    r = engine_registers
    fields = {name: value for name, value in vars(job).items() if name not in ("op", "requantise")}
    found = r.DESCRIPTOR.parse(r.DESCRIPTOR.pack(op=r.Op[job.op], flags=r.REQUANTISE * (job.requantise and job.op == "MATMUL"), **fields))
    try:
        engine_job.check(found)
    except engine_job.Refused:
        return False
    return True


def cases(random):
    """Operations each of whose areas ends before, at and behind the last byte, and others."""
    usual = {"rows": 3, "cols": 5, "depth": 7, "input": 0, "weights": 0, "output": 0, "requantise": False}
    ends = {("LOAD", "output"): 15, ("STORE", "input"): 15, ("MATMUL", "input"): 21, ("MATMUL", "weights"): 35, ("MATMUL", "output"): 60}
    for (op, place), length in ends.items():
        for at in (CHIP - length - 1, CHIP - length, CHIP - length + 1, CHIP - 1):
            yield {**usual, "op": op, place: at}
    for at in (CHIP - 15, CHIP - 14, CHIP - 16):
        yield {**usual, "op": "MATMUL", "requantise": True, "output": at}
    for op in ("LOAD", "STORE", "MATMUL"):
        yield {**usual, "op": op, "rows": 256, "cols": 256, "depth": 1}
        yield {**usual, "op": op, "rows": 0xFFFF, "cols": 0xFFFF}
        yield {**usual, "op": op, "rows": 0, "output": CHIP - 1, "input": CHIP - 1, "weights": 0}
    for _ in range(300):
        sizes = {name: random.randrange(1, 200) for name in ("rows", "cols", "depth")}
        places = {name: random.randrange(CHIP) for name in ("input", "weights", "output")}
        yield {"op": random.choice(("LOAD", "STORE", "MATMUL")), "requantise": random.random() < 0.5, **sizes, **places}


def check(fits):
    passed = refused = 0
    for fields in cases(seeded(13)):
        job = SimpleNamespace(**fields)
        right = allowed(job)
        given = ", ".join(f"{name} {value}" for name, value in fields.items())
        expect(fits(SimpleNamespace(**fields)), right, given)
        passed, refused = passed + right, refused + (not right)
    return f"{passed} operations done and {refused} refused, as the engine does."
