"""What a balancer saw says whether other limits would have made another run: as running it says."""

import pytest

from vmio.manage.memory_run import BATCH, DATABASE, WEB, MemoryParams, run_memory


def shown(result):
    return result.has, result.misses, result.pressure, result.free, result.messages


@pytest.mark.parametrize("settings, name, guests, values, heeded", [
    (dict(), "weight", (BATCH,), (10, 100), True), (dict(host=1152), "weight", (BATCH,), (10, 100), False),
    (dict(), "minimum", (WEB, DATABASE), (96, 192), True)])
def test_another_limit_makes_another_run_where_it_is_heeded(settings, name, guests, values, heeded):
    result = run_memory(MemoryParams(**settings))
    assert result.heeds(guests, [{name: value} for value in values]) is heeded
    others = [shown(run_memory(MemoryParams(**{**settings, name: value}))) for value in values]
    assert (others[0] != others[1]) is heeded and (heeded or others[0] == shown(result))
    assert len(result.looks) == 24, "once a second"
