"""The predictions of *Serve a model* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.serve_a_model import panel

OWN = {
    "served-one-by-one": Own(
        "{tenants} tenants share an engine by the host's service, with one image in each call, and {rate} requests a second come to each of them. At each turn the host "
        "moves 64 KiB out and 64 KiB in, 3.9 bytes in a nanosecond. How many answers a second does each tenant get?",
        {"tenants": [2, 4, 5, 6, 7], "rate": [rate for rate in range(41_000, 60_000, 1_000)]}, panel.answers_by_service),
    "p99-beside-a-bully": Own(
        "Three tenants share an engine by virtual functions, up to 16 images in a call, and {rate} requests a second come to each of them. A fourth guest has 16,384 images "
        "looked at in each call, and a slice is 1,024 us. What is the p99 of the tenants' answers?",
        {"rate": [rate for rate in range(21_000, 60_000, 1_000) if rate != 40_000]}, panel.p99_beside_a_bully),
}
