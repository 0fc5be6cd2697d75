"""Command lines in parts: each says what for."""

from vmio.firmware import command_line as cl

PARTS = (*cl.CONSOLE, *cl.REPRODUCIBLE, *cl.SHORT, *cl.TIME, *cl.ONE_PROCESSOR, *cl.BARE_PC, *cl.HYPER_V, *cl.NO_MESSAGES, *cl.QUIET)


def test_parts_and_words_in_their_order():
    assert cl.text(*cl.CONSOLE, "", "root=/dev/sda1", *cl.QUIET) == "console=ttyS0 earlyprintk=serial,ttyS0 root=/dev/sda1 quiet"
    assert cl.text() == ""


def test_the_clock_is_the_machines():
    assert "tsc_early_khz=2560000" in cl.text(*cl.TIME).split()


def test_all_of_it_fits_a_command_line():
    assert len(cl.text(*PARTS)) < 2048 and cl.text(*PARTS).isprintable() and cl.text(*PARTS).isascii()


def test_each_part_says_why():
    assert all(part.why and part.why[0].islower() and not part.why.endswith(".") for part in PARTS)
    lines = cl.explained(*cl.ONE_PROCESSOR).split("\n")
    assert lines == ["nosmp   there is one processor, and nobody looks for others",
                     "noapic  interrupts come from the two PICs: there is no I/O APIC"]
