"""The predictions of *Isolate containers* with numbers of a student's own."""

from vmio.lab.asked import Own
from vmio.lessons.isolate_containers import panel

OTHERS = [count for count in range(2, 33) if count != 16]

OWN = {
    "layer-copies": Own(
        "{containers} containers start, each with a kernel of its own. The base layer is a SCSI disk, and a start reads 155 of its pages. How many pages of the "
        "host's memory hold pieces of the layer then?",
        {"containers": OTHERS}, panel.layer_pages),
    "layer-touches": Own(
        "The same {containers} containers, but now the layer is mapped: the host's own copy of those 155 pages is in every guest's second-level table. How many "
        "exits do the first touches of it make, in all?",
        {"containers": OTHERS}, panel.first_touches),
}
