"""The predictions of *Move a running guest* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.move_a_running_guest import panel

RATES = [rate for rate in range(1200, 5200, 100) if rate != panel.RATE]
OWN = {
    "rounds": Own("A guest writes into 1,024 pages in a circle, {rate} a second; the link carries 7,800 pages a second, and 234 of them may be left for the end. "
                  "How many rounds until it is stopped?", {"rate": RATES}, lambda rate: panel.rounds(rate=rate)),
    "downtime": Own("The same guest, {rate} pages a second. For how many milliseconds does it stand still?", {"rate": RATES},
                    lambda rate: panel.downtime_ms(rate=rate)),
}
