"""A sweep on all cores: order, what is kept when it stops, and what it says of those who run it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vmio.experiments import many


def square(point):
    return point * point


def slow_first(point):
    """The first point ends last."""
    if point == 0:
        time.sleep(0.5)
    return os.getpid(), point


def dies_at_three(point):
    if point == 3:
        time.sleep(0.5)         # when the others have ended
        os._exit(1)
    return square(point)


def refuses_two(point):
    if point == 2:
        raise ValueError("two is not allowed")
    return square(point)


def not_to_be_run(point):
    raise AssertionError(point)


def test_results_stand_in_the_order_of_the_points_and_come_from_other_processes():
    kept = {}
    found = many.run(slow_first, [0, 1, 2, 1], kept, workers=2)
    assert [point for _, point in found] == [0, 1, 2, 1]
    assert os.getpid() not in {process for process, _ in found}
    assert list(kept)[-1] == 0 and found == [kept[point] for point in (0, 1, 2, 1)]     # kept as they end


def test_one_core_and_what_others_cannot_import_run_here(monkeypatch):
    assert {process for process, _ in many.run(slow_first, [1, 2], workers=1)} == {os.getpid()}
    assert {many.run(lambda point: (os.getpid(), point), [1, 2], workers=2)[1]} == {(os.getpid(), 2)}
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert {process for process, _ in many.run(slow_first, [1, 2], workers=2)} == {os.getpid()}


def test_a_browsers_python_has_no_modules_for_processes_and_needs_none():
    code = ("import sys; sys.platform = 'emscripten'\n"
            "for name in ('_multiprocessing', 'multiprocessing', 'concurrent.futures.process'): sys.modules[name] = None\n"
            "from vmio.experiments import many\n"
            "print(many.run(abs, [-1, 2, -3], workers=2))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def test_what_a_cell_defines_runs_here():
    code = ("import os, sys; from vmio.experiments import many\n"
            "def mine(point): return os.getpid()\n"
            "assert not hasattr(sys.modules['__main__'], '__file__')\n"
            "print(set(many.run(mine, [1, 2], workers=2)) == {os.getpid()})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_experiment_comes_as_it_is_and_the_rest_goes_on_later(workers):
    kept = {}
    with pytest.raises(ValueError, match="^two is not allowed") as caught:
        many.run(refuses_two, [1, 2, 3], kept, workers=workers)
    assert caught.value.__notes__ == ["at the point 2"]
    assert 2 not in kept and all(kept[point] == square(point) for point in kept)
    assert many.run(square, [1, 2, 3], kept, workers=workers) == [1, 4, 9]


def test_a_worker_that_dies_is_one_sentence_and_the_others_results_are_kept():
    kept = {}
    with pytest.raises(ValueError, match=r"^a worker process has died \(BrokenProcessPool: .*\); 1 of 4 points are still to do: run it again with the same `kept` to go on with them\.$"):
        many.run(dies_at_three, [3, 0, 1, 2], kept, workers=2)
    assert kept == {0: 0, 1: 1, 2: 4}
    assert many.run(square, [0, 1, 2, 3], kept, workers=2) == [0, 1, 4, 9]
    assert many.run(not_to_be_run, [0, 1, 2, 3], kept) == [0, 1, 4, 9]


@pytest.mark.skipif(os.name == "nt", reason="its Ctrl-C is another")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_is_done(tmp_path, workers):
    (tmp_path / "points.py").write_text("import sys, time\n"
                                        "def point(n):\n"
                                        "    if n > 2: sys.stdout.write('late\\n'); sys.stdout.flush(); time.sleep(60)\n"
                                        "    return n * n\n")
    (tmp_path / "sweep.py").write_text("import sys\n"
                                       "from vmio.experiments import many\n"
                                       "import points\n"
                                       "class Told(dict):\n"
                                       "    def __setitem__(self, point, result):\n"
                                       "        super().__setitem__(point, result)\n"
                                       "        sys.stdout.write('kept\\n'); sys.stdout.flush()\n"
                                       "if __name__ == '__main__':\n"
                                       "    kept = Told()\n"
                                       "    try:\n"
                                       f"        many.run(points.point, range(9), kept, workers={workers})\n"
                                       "    except KeyboardInterrupt:\n"
                                       "        print(sorted(kept.items()))\n")
    process = subprocess.Popen([sys.executable, "sweep.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert sorted(process.stdout.readline() for _ in range(3 + workers)) == ["kept\n"] * 3 + ["late\n"] * workers
    os.killpg(process.pid, signal.SIGINT)           # as a terminal does: to all of them
    said, errors = process.communicate()
    assert (said, errors, process.returncode) == ("[(0, 0), (1, 1), (2, 4)]\n", "", 0)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="^workers is 0; a sweep needs at least 1.$"):
        many.run(square, [1], workers=0)
    with pytest.raises(ValueError, match="^client is 'tcp://here'; it must be a Client of dask.distributed.$"):
        many.run(square, [1], client="tcp://here")
    assert many.run(square, []) == []
