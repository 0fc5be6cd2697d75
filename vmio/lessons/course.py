"""The course: which lessons there are, in which order, and what each needs.

This is the only place that numbers them: a lesson's number is the next one
after that of the lesson before it in `COURSE`, or the one it is given, so that
lessons keep theirs (and teachers their links) while one between them is still
being written.  After all lessons stand the labs, which are L1, L2 and so on by
the number that each is given, then the appendices, A1, A2 and so on.
Notebooks' file names, links between lessons, the map at the end of the first
and README's table are made from here (`python -m vmio.lessons.build`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FILL = re.compile(r"\{(?:(title|minutes|next|neighbours|map)|lesson:([^}\n]*))\}")
BEGIN, END = "<!-- made by `python -m vmio.lessons.build` from vmio/lessons/course.py -->\n", "<!-- end of what was made -->\n"


@dataclass(frozen=True)
class Lesson:
    """One lesson; `name` is that of its folder in vmio/lessons/, `needs` are the names of lessons before it."""

    name: str
    title: str
    minutes: int
    do: str             # what students do, for who chooses a lesson
    question: str       # what it answers, for who has seen the first
    needs: tuple = ()
    number: int = -1            # where it is not the next one
    lab: int = 0                # an application of what the lessons taught, and its number among those from 1; nobody goes on to it
    appendix: bool = False      # for who wants to know more of the last lesson that it needs; nobody goes on to it either

    @property
    def aside(self) -> bool:
        """Whether it is no lesson of the row, in which each leads to the next."""
        return bool(self.lab) or self.appendix


class Course:
    """Lessons in order, then labs, then appendices; raises ValueError for a name that is there twice, or what is out of place."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self.lessons = tuple(lessons)
        self.names = [lesson.name for lesson in self.lessons]
        self.row = [lesson.name for lesson in self.lessons if not lesson.aside]         # those that lead from one to the next
        self.numbers: dict[str, int] = {}
        for at, lesson in enumerate(self.lessons):
            if not lesson.aside:
                free = max(self.numbers.values(), default=-1) + 1
                self.numbers[lesson.name] = lesson.number if lesson.number >= 0 else free
                if self.numbers[lesson.name] < free:
                    raise ValueError(f"lesson {lesson.name!r} is to be {lesson.number:02}; after the lessons before it come {free:02} and more.")
            if lesson.name in self.names[:at]:
                raise ValueError(f"lesson {lesson.name!r} is in the course twice.")
            if at and not lesson.needs:
                raise ValueError(f"lesson {lesson.name!r} needs nothing; all but the first need at least {self.names[0]!r}.")
            if lesson.aside and at < len(self.row):
                kind, kinds = ("lab", "labs") if lesson.lab else ("appendix", "appendices")
                raise ValueError(f"{kind} {lesson.name!r} stands before {self.row[-1]!r}; {kinds} come after all lessons.")
            if lesson.lab and (self.lessons[at - 1].appendix or self.lessons[at - 1].lab >= lesson.lab):
                raise ValueError(f"lab {lesson.name!r} is L{lesson.lab} and stands after {self.names[at - 1]!r}; labs stand by their numbers, "
                                 f"before the appendices.")
            for need in lesson.needs:
                if need not in self.names[:at]:
                    raise ValueError(f"lesson {lesson.name!r} needs {need!r}; before it are {', '.join(self.names[:at]) or 'none'}.")

    def __getitem__(self, name: str) -> Lesson:
        """Return the lesson of that name; raises ValueError with the names that there are."""
        if name not in self.names:
            raise ValueError(f"lesson is {name!r}; allowed: {', '.join(self.names)}.")
        return self.lessons[self.names.index(name)]

    def number(self, name: str) -> str:
        """Return a lesson's number as it is shown, two digits from 00; a lab's is L1 or more, an appendix's A1 or more."""
        if self[name].lab:
            return f"L{self[name].lab}"
        if self[name].appendix:
            return f"A{sum(other.appendix for other in self.lessons[:self.names.index(name)]) + 1}"
        return f"{self.numbers[name]:02}"

    def notebook(self, name: str) -> str:
        """Return the file name of a lesson's notebook."""
        return f"{self.number(name)}_{name}.ipynb"

    def title(self, name: str) -> str:
        """Return a lesson's title with its number."""
        return f"{self.number(name)} · {self[name].title}"

    def link(self, name: str, words: str = "") -> str:
        """Return a link from a notebook to a lesson's notebook, in Markdown."""
        return f"[{words}{self.title(name)}]({self.notebook(name)})"

    def before(self, name: str) -> set[str]:
        """Return the names of all lessons that one needs, with what these need."""
        return {other for need in self[name].needs for other in {need} | self.before(need)}

    def next(self, name: str) -> str:
        """Return the link on; the last lesson's leads to the beginning, and so do a lab's and an appendix's."""
        after = [] if self[name].aside else self.row[self.row.index(name) + 1:]
        return self.link(after[0], "Next: ") if after else self.link(self.names[0], "To the beginning: ")

    def neighbours(self, name: str) -> str:
        """Return the links back and on, a lesson's last line; labs and appendices lead back to what they need."""
        before = self[name].needs if self[name].aside else self.row[:self.row.index(name)]
        return " · ".join([self.link(other, "Back: ") for other in before[-1:]] + [self.next(name)])

    def map(self, name: str) -> str:
        """Return the table of all other lessons and their questions."""
        rows = [f"| {self.link(other.name)} | {other.question} |" for other in self.lessons if other.name != name]
        return "\n".join(["| lesson | the question |", "|---|---|", *rows])

    def fill(self, text: str, name: str) -> str:
        """Return a text of the lesson `name` with what stands in braces filled in; raises ValueError for a link to no lesson.

        `{title}`, `{minutes}`, `{next}`, `{neighbours}` and `{map}` are this lesson's; `{lesson:NAME}` is a link to another.
        """
        own = {"title": self.title, "minutes": lambda name: str(self[name].minutes), "next": self.next,
               "neighbours": self.neighbours, "map": self.map}
        return FILL.sub(lambda found: own[found[1]](name) if found[1] else self.link(found[2]), text)

    def tree(self) -> list[str]:
        """Return the lines of a picture in which each lesson stands to the right of the last one that it needs."""
        first, *rest = self._branch(self.lessons[0])
        return [f"{first}      Each needs those to its left.", *rest]

    def _branch(self, lesson: Lesson) -> list[str]:
        """Return the lines of the picture from one lesson on to the right; needs that it doesn't stand beside follow its number."""
        needs = sorted(lesson.needs, key=self.names.index)
        label = self.number(lesson.name) + (f" (and {', '.join(map(self.number, needs[:-1]))})" if needs[1:] else "")
        after = [other for other in self.lessons if other.needs and max(other.needs, key=self.names.index) == lesson.name]
        if not after:
            return [label]
        rows: list[str] = []
        margin = " " * len(label)
        for other in after:
            last = other is after[-1]
            if rows:
                lead, under = margin + ("  └─ " if last else "  ├─ "), margin + ("     " if last else "  │  ")
            else:
                lead, under = label + (" ─ " if last else " ─┬─ "), margin + ("   " if last else "  │  ")
            first, *rest = self._branch(other)
            rows += [lead + first, *(under + row for row in rest)]
        return rows

    def readme(self) -> str:
        """Return README's part about the lessons: the picture of what needs what, and the table."""
        rows = [f"| {self.number(one.name)} | [{one.title}](notebooks/{self.notebook(one.name)}) | {one.do} | {one.minutes} |"
                for one in self.lessons]
        return "\n".join(["", *("    " + row for row in self.tree()), "", "| | lesson | what students do | minutes |", "|---|---|---|---|", *rows, ""]) + "\n"


COURSE = Course([
    Lesson("start_here", "Start here", 10,
           do="one disk, three modes, one panel: the whole course in ten minutes",
           question="what is an exit, and which three ways are there?"),
    Lesson("trap_an_instruction", "Trap an instruction", 30,
           do="find out which instructions exit, who answers, what it costs",
           question="which instructions exit, and what does that cost?", needs=("start_here",)),
    Lesson("emulate_a_device", "Emulate a device", 55,
           do="drive a UART and a disk register by register; PIO against DMA; a power cut",
           question="what does a disk made of software look like?", needs=("trap_an_instruction",)),
    Lesson("split_a_driver", "Split a driver", 45,
           do="follow one read over VMBus, byte by byte; exits a request",
           question="what do guest and host say to each other?", needs=("emulate_a_device",)),
    Lesson("fill_a_ring", "Fill a ring", 60,
           do="step a ring's two cursors; full, empty, a lost wake-up; batching",
           question="what if one is faster than the other?", needs=("split_a_driver",)),
    Lesson("pass_a_device_through", "Pass a device through", 45,
           do="a disk in the guest's own hands; IOMMU, IOTLB, what you give up",
           question="who guards the memory if the host is out of the way?", needs=("split_a_driver",)),
    Lesson("compare_modes", "Compare the modes", 35,
           do="which mode when? recorded workloads, break-even points, other processors",
           question="which mode when?", needs=("pass_a_device_through",)),
    Lesson("break_isolation", "Break isolation", 60,
           do="attack memory, rings, DMA and interrupts, with each defence off and on",
           question="what can a hostile guest do, and what stops it?", needs=("fill_a_ring", "pass_a_device_through")),
    Lesson("share_a_device", "Share a device", 60,
           do="many guests on one disk: weights, caps, a noisy neighbour, live changes",
           question="who gets how much of one disk?", needs=("split_a_driver",)),
    Lesson("run_on_real_hardware", "Run on real hardware", 30,
           do="the same accesses on /dev/kvm: does a real processor count the same?",
           question="does a real processor count the same?", needs=("trap_an_instruction",)),
    Lesson("boot_a_real_linux", "Boot a real Linux", 45,
           do="one unmodified kernel, four ways to its disks: which of its instructions exit?",
           question="does an operating system that nobody changed count the same?", needs=("pass_a_device_through",)),
    Lesson("move_packets", "Move packets", 60,
           do="one ping and one download through three network cards; fewer interrupts, longer waits; who sees which frame at the virtual switch",
           question="what does a packet cost, and who sees it on its way?", needs=("pass_a_device_through",)),
    Lesson("speak_virtio", "Speak virtio", 55,
           do="the open standard's ring beside VMBus's: descriptors, tables, who is told when; a real Linux uses your own rule",
           question="what does a ring look like that belongs to nobody?", needs=("fill_a_ring",)),
    Lesson("accelerate", "Accelerate", 45,
           do="a small network reads digits on a matrix engine that is emulated, split or passed through; how large must a call be?",
           question="how much must a call ask for, so that no mode costs anything?", needs=("pass_a_device_through",)),
    Lesson("grow_and_shrink", "Grow and shrink", 55,
           do="memory that moves between running guests: a balloon, a hot add, the rule of the host that shares it; disks that come and go under load",
           question="who gets the host's memory when there is not enough?", needs=("split_a_driver",)),
    Lesson("move_a_running_guest", "Move a running guest", 45,
           do="a guest goes to another host while it runs: rounds, downtime, a migration that never ends, a bit that is missing",
           question="how is memory copied that changes all the time?", needs=("split_a_driver", "move_packets")),
    Lesson("isolate_containers", "Isolate containers", 55,
           do="up to 64 containers from one base layer, on one kernel or on a kernel each: who shares which page, and how far a hostile one gets",
           question="what does a kernel of its own cost a container, and what does it keep out?", needs=("break_isolation", "share_a_device")),
    Lesson("keep_secrets", "Keep secrets", 60,
           do="one letter on a disk, a wire, in a device: what the host finds of it, who encrypts, whose memory it is, and which changes are noticed",
           question="what does the host see, and what can it change unnoticed?", needs=("pass_a_device_through",)),
    Lesson("watch_and_steer", "Watch and steer", 50,
           do="six guests at work and one thing wrong: read the counters, name the cause; then let a controller decide, and see it swing",
           question="what is wrong with this machine, and who decides what to do?", needs=("fill_a_ring", "share_a_device")),
    Lesson("store_in_a_cloud", "Store in a cloud", 60, lab=1,
           do="eight guests on one disk, a victim and a bully: policies, limits, a function that comes while its guest runs; a report",
           question="how does a provider keep one guest from another on a shared disk?", needs=("pass_a_device_through", "share_a_device")),
    Lesson("scan_in_parallel", "Scan in parallel", 60, lab=2,
           do="workers search one real image while their channels, cores, memory and disks change: speed-up, a slow worker, and who decides",
           question="how much faster are more workers, and what ends it?", needs=("fill_a_ring", "pass_a_device_through", "grow_and_shrink")),
    Lesson("serve_a_model", "Serve a model", 60, lab=3,
           do="requests for a small network, three tenants, one engine: batching, a bully, a queue on paper, and a report of your own",
           question="how many requests go into a call if somebody waits for each of them?", needs=("share_a_device", "accelerate")),
    Lesson("test_the_mix", "Test the mix", 60, lab=4,
           do="eight guests of 1995 to today and a real Linux on five hosts: who passes, who is refused, who breaks, and which version is why; hosts that lie",
           question="which guest runs on which host, and how does it notice that it doesn't?", needs=("boot_a_real_linux", "move_packets")),
    Lesson("check_the_model", "Check the model", 20, appendix=True,
           do="the papers beside the model: each price with its source, nine results with their ratios",
           question="where do the prices come from, and do the papers agree?", needs=("compare_modes",)),
])
