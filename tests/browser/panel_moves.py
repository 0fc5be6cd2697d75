"""What a reader does with a panel in its page, and what is looked at then: its controls moved, its drawings, its names."""

import re

SLIDER = ".widget-slider [role=slider]"
PATIENCE = 30_000   # ms for what comes after the kernel's answer, a sweep's results: only a control that is dead takes them


def press(page, slider, key, panel_box, excused=False):
    """Press a key on a slider and wait for another readout; milliseconds, or None when nothing changed.

    Nothing changes when the kernel has answered, and the slider is where it was or is `excused`; else PATIENCE is the end.
    """
    slider.focus()
    return page.evaluate("""async ([box, key, excused, patience]) => {
        const text = () => box.querySelector('.vmio-readout')?.innerText + box.querySelector('.vmio-figures')?.innerHTML;
        const handle = document.activeElement, was = handle.ariaValueNow, before = text(), start = performance.now();
        handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
        await answered(() => text() !== before);
        for (const end = performance.now() + patience; text() === before;) {
            if (excused || handle.ariaValueNow === was || performance.now() > end) return null;
            await new Promise(done => requestAnimationFrame(done));
        }
        return performance.now() - start;
    }""", [panel_box.element_handle(), key, excused, PATIENCE])


# What is wrong with how a panel looks now: texts of its drawings that lie on one another, on an arrow's box or on the readout,
# that leave the card, or that are smaller than 14 px; and an error in the place of an answer.
FAULTS = """box => {
    const found = [], panel = box.getBoundingClientRect();
    const crosses = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const seen = one => one.getClientRects().length && one.textContent.trim() && getComputedStyle(one).visibility !== 'hidden';
    const texts = [...box.querySelectorAll('svg text')].filter(seen).flatMap(one => {
        const spans = [...one.querySelectorAll('tspan')], scale = one.getScreenCTM().a;
        const size = parseFloat(getComputedStyle(one).fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b);
        if (size < 13.95) found.push(`${one.textContent}: ${size.toFixed(1)} px`);
        return [{words: one.textContent, rect: one.getBoundingClientRect(), inside: one.closest('svg')}];
    });
    const blocks = [...box.querySelectorAll('.vmio-readout, .vmio-idle, .vmio-controls > *')].map(one => ({words: one.className, rect: one.getBoundingClientRect()}));
    const boxes = [...box.querySelectorAll('.vmio-box')].map(one => one.getBoundingClientRect());
    texts.forEach((one, at) => {
        const {left, right, top, bottom} = one.rect, svg = one.inside.getBoundingClientRect();
        if (left < svg.left - 2 || right > svg.right + 2 || top < svg.top - 2 || bottom > svg.bottom + 3) found.push(`${one.words}: leaves its figure`);
        for (const other of [...texts.slice(at + 1), ...blocks]) if (crosses(one.rect, other.rect)) found.push(`${one.words} | ${other.words}`);
        for (const other of boxes) {
            const within = left >= other.left - 1 && right <= other.right + 1 && top >= other.top - 1 && bottom <= other.bottom + 1;
            if (crosses(one.rect, other) && !within) found.push(`${one.words}: over a box`);
        }
    });
    for (const chart of box.querySelectorAll('.vmio-figures svg[data-kind]')) {
        if (!chart.querySelector('.vmio-title')?.textContent || !chart.querySelector('.vmio-label')?.textContent) found.push('a figure without title or axis');
        if (chart.querySelectorAll('.vmio-tick').length < 2) found.push(`${chart.getAttribute('aria-label')}: an axis without ticks`);
        if (chart.querySelector('[data-whole=false]')) found.push(`${chart.querySelector('[data-whole=false]').textContent}: longer than its axis`);
    }
    for (const one of box.querySelectorAll('.vmio-error')) found.push(one.textContent);
    if (box.querySelector('.vmio-readout').scrollWidth > box.querySelector('.vmio-readout').clientWidth + 1) found.push('the readout is cut off');
    return found;
}"""
VIEW = "() => Math.min(...[...document.querySelectorAll('.jp-WindowedPanel-outer')].map(one => one.clientHeight))"
SEEN = "box => box.querySelector('.vmio-readout')?.innerText + box.querySelector('.vmio-figures')?.innerHTML"
NAMED = ("slider", "combobox", "checkbox", "textbox", "group", "button", "img")


def changes(page, panel, act, excused=False):
    """Whether `act()` changes what the panel shows; if it is `excused`, the kernel's answer is the end of the waiting, else PATIENCE."""
    from playwright.sync_api import TimeoutError
    box = panel.element_handle()
    before = box.evaluate(SEEN)
    act()
    page.evaluate(f"([box, before]) => answered(() => ({SEEN})(box) !== before)", [box, before])
    try:
        if not excused:
            page.wait_for_function(f"([box, before]) => ({SEEN})(box) !== before", arg=[box, before], timeout=PATIENCE)
    except TimeoutError:
        return False
    return box.evaluate(SEEN) != before


def excused(panel, label):
    """Whether the panel says of a control that it changes nothing as the others stand."""
    return f'"{label}"' in panel.locator(".vmio-idle").text_content()


def other_controls(panel):
    """For each row of buttons, list and tick box of a panel: (what it is, two things to do to it, there and back)."""
    for group in panel.get_by_role("group").all():
        off, on = group.locator("[aria-pressed=false]").first.element_handle(), group.locator("[aria-pressed=true]").element_handle()
        yield group.get_attribute("aria-label"), (off.click, on.click)
    for box in panel.get_by_role("combobox").all():
        now, values = box.input_value(), box.evaluate("list => [...list.options].map(one => one.value)")
        other = values[values.index(now) - 1]
        yield other, (lambda: box.select_option(other), lambda: box.select_option(now))
    for box in panel.get_by_role("checkbox").all():
        yield box.evaluate("box => box.closest('label').textContent.trim()"), (lambda: box.press("Space"), lambda: box.press("Space"))


# A slider goes up to a place at once, faster than the kernel: what lies between is left out, as in a hand's drag.
BACK = """(handle, was) => { while (handle.ariaValueNow !== was) {
    const before = handle.ariaValueNow;
    handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true, cancelable: true}));
    if (handle.ariaValueNow === before) throw new Error(`the slider stays at ${before}, and was at ${was}`);
} }"""


def extremes(panel):
    """For each control of a panel: (its name, what sets it to each of its ends, or to each of its choices), then back to where it was."""
    for one in panel.locator(SLIDER).all():
        was = one.get_attribute("aria-valuenow")
        yield one.get_attribute("aria-label"), [lambda key=key: one.press(key) for key in ("Home", "End")]
        one.press("Home")
        one.evaluate(BACK, was)
    for group in panel.locator(".widget-toggle-buttons [role=group]").all():
        was = group.locator("[aria-pressed=true]").element_handle()
        yield group.get_attribute("aria-label"), [one.click for one in group.get_by_role("button").all()]
        was.click()
    for box in panel.get_by_role("combobox").all():
        was, values = box.input_value(), box.evaluate("list => [...list.options].map(one => one.value)")
        yield "list", [lambda value=value: box.select_option(value) for value in values]
        box.select_option(was)
    for box in panel.get_by_role("checkbox").all():
        yield "tick box", [lambda: box.press("Space"), lambda: box.press("Space")]


def nameless(panel):
    """Lines of what a screen reader is told about a panel in which something has no name."""
    words = re.compile(rf"^\s*- '?({'|'.join(NAMED)})\b(?! \")")
    return [line.strip() for line in panel.aria_snapshot().splitlines() if words.match(line)]


def screenshots(page, folder, name):
    """The page as a projector (1280x720) and a monitor (1600x900) show it."""
    for width, height in ((1600, 900), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=str(folder / f"{name}-{width}x{height}.png"))


def percentiles(times):
    """(p50, p95) of milliseconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
