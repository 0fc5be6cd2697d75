"""The prediction of *Keep secrets* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.keep_secrets import panel

OWN = {
    "letter-in-ram": Own(
        "A guest encrypts its disk itself. It writes a letter of {lines} lines and reads it back into another buffer. How many lines of the letter does the host "
        "find in the guest's RAM?",
        {"lines": [64 * n for n in range(1, 20) if n != 2]}, panel.in_ram),
}
