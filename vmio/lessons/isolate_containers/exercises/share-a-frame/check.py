from vmio.lab import attempted, counted, expect, seeded
from vmio.lessons.isolate_containers.frames import sharing


def check(sharers):
    random, shared = seeded(16), 0
    for _ in range(3):
        made = sharing(random)
        roots = {name: guest.slat.root for name, guest in made.guests.items()}
        for gpa in made.pages:
            given = f"the page at {gpa:#x}"
            got = attempted(sharers(made.memory.load64, dict(roots), gpa), given, dict, "a dict")
            wanted = made.frames(gpa)
            expect(got, wanted, given=given)
            shared += sum(len(names) > 1 for names in wanted.values())
    return f"{counted(shared, 'frames')} that several guests share found, and no other taken for one."
