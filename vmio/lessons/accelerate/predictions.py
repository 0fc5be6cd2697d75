"""The predictions of *Accelerate* with numbers of a student's own."""

from vmio.experiments.accelerator_params import DIGITS
from vmio.lab.asked import Own
from vmio.lessons.accelerate import panel

OWN = {
    "load-by-registers": Own(
        "A network has 64 inputs, {hidden} hidden sums and 10 outputs; weights have one byte each, the bias of each sum four. An engine without a ring takes "
        "them by its registers, four bytes a store. How many exits until they are on the chip?",
        {"hidden": [hidden for hidden in range(6, 100, 2) if hidden != DIGITS]}, panel.load_exits),
    "share-of-bare-metal": Own(
        "A guest has the engine for itself and gives it {batch} images in one call. How fast is it, in percent of the host's own driver?",
        {"batch": list(range(2, 200, 3))}, panel.share),
}
