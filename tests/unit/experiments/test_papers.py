"""Published results beside the model's: each within its tolerance, or off for the stated reason, in the stated direction."""

import pytest

from vmio import data
from vmio.experiments import papers
from vmio.experiments.papers import backends, doorbell, exit_ladder, exitless, mapping, polling, suppression
from vmio.experiments.papers.result import USES, WIDTH, Row
from vmio.hypervisor.costs import CostModel, published
from vmio.lessons.check_the_model import panel as lesson


def ratios(name):
    return {row.what: row.ratio for row in papers.run(name).rows}


@pytest.mark.parametrize("name", papers.ALL)
def test_a_row_agrees_or_says_why_it_does_not(name):
    result = papers.run(name)
    for row in result.rows:
        assert row.use in USES and row.within <= 0.30
        assert row.agrees != bool(row.why), row      # a reason for a row that agrees is stale
        assert row.use != "fit" or row.agrees
    assert any(row.use != "fit" for row in result.rows)


@pytest.mark.parametrize("name", papers.ALL)
def test_a_table_fits_and_names_its_sources(name):
    result = papers.run(name)
    assert result.ids and set(result.ids) <= set(published())
    text = result.table()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("from: ") == len(result.sources) >= 1
    assert ("[seen in an excerpt]" in text) == any(published()[row_id]["read"] != "at the source" for row_id in result.ids)


@pytest.mark.parametrize("name", ("exit ladder", "suppression", "exitless"))
def test_the_same_text_every_time(name):
    assert papers.ALL[name]().table() == papers.run(name).table()


def test_an_unknown_paper():
    with pytest.raises(ValueError, match="paper 'x': choose one of exit ladder, doorbell"):
        papers.run("x")


@pytest.mark.parametrize("paper,model,ratio", [
    (10, 11, 1.1), (10, 5, 0.5), (0, 0, 1), (0, 1, float("inf")), ((2, 4), 3, 1), ((2, 4), 1, 0.5), ((2, 4), 5, 1.25)])
def test_the_ratio_of_a_row(paper, model, ratio):
    row = Row("", paper, model)
    assert row.ratio == ratio
    assert row.agrees == (ratio in (1, 1.1))


def test_a_tolerance_is_the_same_up_and_down():
    assert Row("", 110, 100).agrees and Row("", 100, 110).agrees
    assert not Row("", 111, 100).agrees and not Row("", 100, 111).agrees


# One by one: what must hold.

def test_the_ladder_has_one_order_on_every_machine():
    for costs in ("kvm-2012", "kvm-2017", "nested-2019", "server-2022"):
        steps = exit_ladder.ladder(CostModel.preset(costs))
        assert steps["hypercall"] < steps["OUT, kernel"] < steps["IN, kernel"] < steps["IN, user"]
    assert steps["IN, user"] / steps["IN, kernel"] == pytest.approx(2.8, rel=0.05)
    rows = ratios("exit ladder")
    assert rows["IN, user, nested 2019"] < 0.5 and rows["IN, kernel, Arm 2022"] > 1.2
    multiplied = exit_ladder.ladder(exit_ladder.scaled(CostModel.preset("kvm-2012"), 4973))   # the other wrong model
    assert multiplied["IN, user"] / multiplied["hypercall"] == pytest.approx(5.28, abs=0.01)


def test_batches_make_the_doorbell_not_matter():
    kaby = CostModel.preset().with_(hypercall_ns=960, lookup_ns=0, emulate_ns=2400)
    gaps = [doorbell.per_request(kaby, batch, True) / doorbell.per_request(kaby, batch, False) for batch in (1, 4, 16, 64)]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 1.4 and gaps[-1] < 1.02
    rows = ratios("doorbell")
    assert rows["decoded / matched, prices of 2012"] < 1 < rows["MSI-X / INTx, backend in the kernel"]
    slow, fast = (row.model for row in papers.run("doorbell").rows if row.what.startswith("MSI-X"))
    assert fast > slow > 1


def test_a_producer_that_is_slower_signals_more():
    counts = [suppression.signals(gap) for gap in (1000, 2000, 3000, 4000, 6000, 9000, 12_000)]
    assert counts == sorted(counts) and counts[0] == 0.01 and counts[-1] == 1


def test_polling_gains_less_the_larger_the_request():
    costs = polling.fitted()
    gains = [polling.iops(costs, kib, polled=True) / polling.iops(costs, kib) for kib in (4, 16, 64)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(1.14, abs=0.01) and gains[1] == pytest.approx(1.13, abs=0.03) and gains[2] < 1.01


def test_what_a_mapping_costs():
    costs = mapping.fitted()
    assert (costs.dma_map_ns, costs.dma_invalidate_ns) == (450, 1044)
    strict, lazy, static = (mapping.ns_per_buffer(name, 800) for name in ("strict", "lazy", "static"))
    assert strict > lazy > static == 800
    gap, merged = (mapping.ns_per_buffer("strict", 800, share) / mapping.ns_per_buffer("lazy", 800, share) for share in (1, 3))
    assert gap == pytest.approx(1.83, abs=0.03) and merged == pytest.approx(1.36, abs=0.03)
    assert mapping.unmap_ns(96, 900) == pytest.approx(96 * 1044, rel=0.02)      # all wait for one queue
    rows = ratios("DMA mapping")
    assert rows["NVMe, MIOPS, lazy"] < 0.9 and rows["Arm, unmap, 16 threads, ns"] > 1.5


def test_another_queue_without_another_worker_gains_nothing():
    assert backends.gbits(2, 1) == pytest.approx(backends.gbits(1, 1), rel=0.01)
    assert backends.gbits(4, 2) == pytest.approx(2 * backends.gbits(1, 1), rel=0.02)
    assert ratios("backends")["two flows, two workers / one"] > 1.2


def test_an_interrupt_that_is_posted_costs_nothing():
    assert exitless.ns_each(True, 683) == exitless.WORK_NS
    assert exitless.ns_each(False, 683) == exitless.WORK_NS + 2 * 683
    assert ratios("exitless")["gain, an exit at its direct price"] < 0.9


def test_our_driver_makes_fewer_accesses_than_linux():
    rows = ratios("register accesses")
    assert rows["IDE, DMA: accesses"] < 0.7
    assert rows["NVMe: accesses"] == rows["virtio-blk (here StorVSC): accesses"] == 1


# What the lesson shows.

def test_the_sources_of_all_prices():
    text = lesson.price_sources()
    assert max(map(len, text.splitlines())) <= WIDTH
    for name, value, *_ in CostModel.preset().table_rows():
        assert name in text and f"{value:,}" in text
    assert "kvm-unit-tests commit 00bfecaaa5a4" in text and "E17.1 KVM arm64" in text


def test_every_fitted_figure_lies_in_the_grey():
    assert all(1 / 1.1 <= row.ratio <= 1.1 for name in papers.ALL for row in papers.run(name).rows if row.use == "fit")


def test_the_summary_and_the_picture():
    text = lesson.all_papers()
    assert max(map(len, text.splitlines())) <= WIDTH and len(text.splitlines()) == 2 + len(papers.ALL)
    panel = lesson.ratio_panel()
    held = panel.text
    panel.set(fitted=True)
    assert panel.text != held and max(map(len, held.splitlines())) <= 38
    assert panel.charts[0]["axis"]["label"] == "model / paper"


def test_no_two_figures_have_one_id():
    """Of two the later one would set a price of its own, without a word."""
    lines = data.path("published.csv").read_text(encoding="utf-8").splitlines()
    assert len(published()) == len(lines) - 1
