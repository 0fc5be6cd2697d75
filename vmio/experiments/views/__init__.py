"""What does the host see, and where?  One letter by one route, and four viewers of the host's, with each protection on or off.

    seen = run(ViewsParams("net", isolated=True, protected=True))
    seen.views["the wire"].hits         0: how many lines of the letter are in what passed there

A route has one protection of its own: AES-XTS on the disk, TLS 1.3's records on the wire and in a socket, TDISP for the
device that was passed through.
Beside it the guest's memory may be isolated: private pages, and a bounce pool that host and devices may reach.  Each alone leaves a
place where the letter lies in clear.  What a viewer holds is what the host gets when it reads there itself.
"""

from vmio.experiments.views.result import Seen, ViewsParams
from vmio.experiments.views.routes import BY_ROUTE


def run(wanted: ViewsParams) -> Seen:
    """Write the letter, and look at all places; ValueError for parameters that can't be."""
    return BY_ROUTE[wanted.check().route](wanted)
