"""A real Linux that boots while its reader watches: console and exits rise side by side in the page, and end as they were recorded."""

import re

import pytest

import lab_server  # beside this file
from tests.linux_files import kernel
from vmio.lessons.boot_a_real_linux import live, recorded
from vmio.lessons.boot_a_real_linux.plans import CONSOLE
from vmio.processors.unicorn import package

pytestmark = pytest.mark.browser

SOURCE = f"# %%\nimport os\nos.environ.pop({live.VARIABLE!r}, None)\nfrom vmio.lessons.boot_a_real_linux import panel as lesson\nprint(lesson.power_on())\n"
WATCH = """() => { window.seen = []; setInterval(() => {
    const text = document.querySelector('.vmio-readout')?.innerText, bars = document.querySelectorAll('.vmio-figures svg rect').length;
    if (text && text !== seen.at(-1)?.[0]) seen.push([text, bars]);
}, 20); }"""


def test_console_and_exits_rise_while_linux_boots(server, chromium):
    if package.missing():
        pytest.skip(f"NOT RUN: {package.missing()}")
    kernel()
    lab_server.store(SOURCE, server.work / "99_boot.ipynb")
    with chromium(1280, 720) as page:
        page.add_init_script(f"addEventListener('load', {WATCH})")
        lab_server.run_all(page, server, "99_boot.ipynb")
        seen, shown = page.evaluate("seen"), page.locator(".jp-OutputArea").inner_text()
    wanted = recorded.of(CONSOLE)
    assert f"power off, {wanted.exits:,} exits, {wanted.virtual_ns:,} ns" in shown
    exits = [int(re.search(r"^exits ([\d,]+)$", text, re.M)[1].replace(",", "")) for text, _ in seen]
    assert len(exits) > 10 and exits == sorted(exits) and exits[-1] == wanted.exits
    assert seen[0][1] < seen[-1][1], "bars come as devices do"
    assert "reboot: Power down" in seen[-1][0] and len({text.split("virtual time")[0] for text, _ in seen}) > 10
