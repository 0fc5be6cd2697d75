"""What the text of *Serve a model* says of its tables: each number and each comparison, read from runs."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.drivers.accelerator_plan import moves
from vmio.experiments import serving, serving_handover, serving_law
from vmio.experiments.serving_params import BULLIES, ENDLESS, ENGINES, FUNCTIONS, HUGE, NOBODY, SERVICE
from vmio.hardware.accelerator import job
from vmio.hardware.accelerator.registers import DESCRIPTOR, LIMIT_NS, LINK_BYTES, SRAM_BYTES, Op
from vmio.lessons.serve_a_model import panel as lesson


def test_one_by_one_the_service_moves_memory_and_in_batches_it_keeps_up():
    one, many = lesson.run(SERVICE, 1), lesson.run(SERVICE, 16)
    assert all(each.per_second < 9_100 for each in one.tenants) and sum(each.per_second for each in one.tenants) / 3 < 9_000
    assert (one.switches, sum(each.images for each in one.tenants)) == (1_201, 1_200) and one.busy > 99
    assert all(each.per_second > 0.95 * 40_000 for each in many.tenants), "keeps up"
    assert round(LINK_BYTES / 1000, 1) == 3.9
    switch = [job.duration(DESCRIPTOR.parse(each)) for op in (Op.STORE, Op.LOAD) for each in moves(op, 0, 0, SRAM_BYTES)]
    assert round(sum(switch) / 1000) == 35, "us"


def test_functions_need_no_switch():
    one, many = lesson.run(FUNCTIONS, 1), lesson.run(FUNCTIONS, 16)
    assert one.switches == 0 and one.percentile(50) < 9_000 < many.percentile(50), "the fastest: half within 9 us"
    assert many.exits_per_image < one.exits_per_image / 2
    assert round(many.percentile(99) / 1000) == 60, "what the second prediction says"


def test_who_notices_a_bully():
    alone = lesson.run(ENGINES)
    for bully in BULLIES[1:]:
        assert [each.latencies for each in lesson.run(ENGINES, bully=bully).tenants] == [each.latencies for each in alone.tenants]
        functions = lesson.run(FUNCTIONS, bully=bully)
        assert functions.bully.engine_ns > 0.9 * functions.ns, "nine tenths"
        assert functions.percentile(99) - lesson.run(FUNCTIONS).percentile(99) < 20_000, "the rest of a slice"
    assert lesson.run(FUNCTIONS, bully=ENDLESS).bully.ended == 4 and LIMIT_NS == 2_000_000
    service = lesson.run(SERVICE, bully=ENDLESS)
    assert (service.bully.engine_ns, service.bully.ended) == (0, 0) and service.bully.refused > 0
    assert service.percentile(99) == pytest.approx(lesson.run(SERVICE).percentile(99), rel=0.02)
    assert lesson.run(FUNCTIONS, bully=HUGE).fairness == pytest.approx(0.29, abs=0.01), "the quiz"
    assert round(100 * lesson.run(FUNCTIONS, bully=HUGE).bully.engine_ns / lesson.run(FUNCTIONS, bully=HUGE).ns) == 92


def test_what_slices_do():
    p99 = {(way, us): lesson.run(way, bully=HUGE, slice_us=us, count=100).percentile(99) for way in (SERVICE, FUNCTIONS) for us in (1, 16, 128, 1_024)}
    assert p99[SERVICE, 1] > 5 * p99[SERVICE, 16] and p99[SERVICE, 1_024] > 5 * p99[SERVICE, 128]
    assert p99[FUNCTIONS, 1] < p99[FUNCTIONS, 16] < p99[FUNCTIONS, 128] < p99[FUNCTIONS, 1_024]
    images = [lesson.run(FUNCTIONS, bully=HUGE, slice_us=us, count=100) for us in (1, 1_024)]
    assert images[0].bully.images / images[0].ns > 0.7 * images[1].bully.images / images[1].ns, "not much worse for the bully"


def test_what_is_said_of_paper():
    law = lesson.law_of()
    for images in lesson.TOLD:
        counted = serving_law.call_ns(FUNCTIONS, images)
        assert abs(law.ns(images) / counted - 1) < 0.0002
        assert (abs(law.straight(images) / counted - 1) < 0.0002) == (images <= law.piece)
    assert law.piece == 463
    call, setup = serving_law.call_ns(ENGINES, 1), serving_law.setup_ns(ENGINES)
    for rate in lesson.RATES:
        mean = lesson.run(ENGINES, 1, tenants=1, rate=rate, wait_us=0, count=4_000).tenants[0].mean_ns
        assert abs(serving_law.latency_ns(rate, call, setup) / mean - 1) < 0.03, "within 3 percent"
        assert 2_500 < mean - serving_law.latency_ns(rate, call) < 4_000, "the same few microseconds"


def test_models_and_the_tenant_that_leaves():
    laws = [lesson.law_of(FUNCTIONS, hidden) for hidden in (8, 32, 128, 512)]
    assert max(law.fixed for law in laws) - min(law.fixed for law in laws) < 5
    assert [law.each for law in laws] == sorted(law.each for law in laws) and [law.piece for law in laws] == sorted((law.piece for law in laws), reverse=True)
    assert len({lesson.run(hidden=hidden, count=200).exits_per_image for hidden in (8, 32, 128, 512)}) == 1
    assert serving_handover.PIECE == 16 and "not scrubbed                158                158" in lesson.handover_table()


def test_what_is_said_of_rules():
    found = lesson.rules()
    assert len(found) == 20 and all(one.wrong == 0 for one in found.values())
    for (batch, wait_us), one in found.items():
        if batch >= 16:
            assert wait_us < one.percentile(99) / 1000 < wait_us + 15, "and some 10 us"
        if batch > 1 and wait_us:
            assert one.exits_per_image < found[1, wait_us].exits_per_image
    for wait_us in (0, 25, 50, 100, 200):
        assert found[16, wait_us].percentile(99) == pytest.approx(found[64, wait_us].percentile(99), rel=0.01), "the number has no say"


def test_the_panel_begins_where_the_text_says():
    panel = lesson.panel()
    assert (panel.params["way"], panel.params["batch"], panel.params["bully"]) == (SERVICE, 1, NOBODY)
    keeps_up = [batch for batch in panel.controls["batch"].values
                if min(each.per_second for each in serving.run(serving.ServingParams(SERVICE, batch=batch, count=100)).tenants) > 0.85 * 40_000]
    panel.close()
    assert keeps_up and keeps_up[0] > 1, "there is an answer to the first question"
