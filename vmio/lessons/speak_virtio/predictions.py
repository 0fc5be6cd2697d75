"""The predictions of *Speak virtio* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.speak_virtio import panel

OWN = {
    "requests-that-fit": Own(
        "A ring has 128 descriptors and no indirect tables. A request's data lie in {pieces} pieces; a header and a status come on top. How many such requests "
        "are in the ring at once?",
        {"pieces": [pieces for pieces in range(2, 60) if pieces != 16]}, panel.requests_that_fit),
    "kicks-with-events": Own(
        "A guest makes 48 requests and keeps {depth} in flight; the device takes and answers four at a time, and each side says by an event index when it wants to "
        "be told. How often does the guest kick?",
        {"depth": [depth for depth in range(2, 48) if depth != 16]}, panel.kicks),
}
