"""Schedulers and block layer under random guests: nothing lost, nothing twice, order within a guest, nobody starves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduler_rig import Job, Server
from vmio.host.block import ABORTED, GONE
from vmio.host.policies import POLICIES, make
from vmio.host.scheduler import SECOND, Share, cost
from vmio.host.timed import TimedDisk
from vmio.modes import Machine

EXAMPLES = 150

names = st.sampled_from("abcd")
rates = st.one_of(st.none(), st.integers(100_000, 1_000_000_000))
shares = st.builds(lambda weight, cap, iops, reservation, burst_ns: Share(
    weight, min(reservation, cap or reservation), cap, iops, burst_ns),
    st.integers(1, 10_000), rates, st.one_of(st.none(), st.integers(100, 1_000_000)),
    st.integers(0, 100_000_000), st.integers(0, 10_000_000))
sizes = st.one_of(st.just(0), st.integers(1, 512), st.just(65_536)).map(lambda sectors: 512 * sectors)
steps = st.lists(st.one_of(
    st.tuples(st.just("put"), names, st.lists(sizes, min_size=1, max_size=5)),
    st.tuples(st.just("next"), st.integers(1, 6), st.integers(0, 3_000_000)),
    st.tuples(st.sampled_from(("add", "change")), names, shares),
    st.tuples(st.just("remove"), names, st.none())), min_size=12, max_size=40)


@given(st.sampled_from(sorted(POLICIES)), steps)
@settings(max_examples=EXAMPLES, deadline=None)
def test_nothing_is_lost_or_repeated_and_each_guest_is_served_in_order(policy, plan):
    scheduler, now, number = make(policy), 0, 0
    waiting = {"a": [], "b": []}       # guest -> numbers of its requests, oldest first
    for name in waiting:
        scheduler.add(name, Share(cap=50_000_000), now)

    def ask():
        job, when = scheduler.next(now)
        left = sum(map(len, waiting.values()))
        if job is None:
            assert (when is None) == (left == 0) and (when is None or when > now)
        else:
            assert when is None and waiting[job.guest].pop(0) == job.number
        assert len(scheduler) == sum(map(len, waiting.values()))
        return job, when

    for step, who, what in plan:
        if step == "next":
            now += what
            for _ in range(who):
                ask()
        elif step == "add":
            if who not in waiting:
                scheduler.add(who, what, now)
                waiting[who] = []
        elif who not in waiting:
            continue
        elif step == "put":
            for size in what:
                scheduler.enqueue(Job(who, size, number), now)
                waiting[who].append(number)
                number += 1
        elif step == "change":
            scheduler.change(who, what, now)
        else:
            assert [job.number for job in scheduler.remove(who, now)] == waiting.pop(who)
    for _ in range(20 * (number + len(waiting) + 1)):      # with time, everything comes out
        job, when = ask()
        if job is None:
            if when is None:
                return
            now = when
    raise AssertionError(f"{len(scheduler)} requests still wait")


def gaps(log, name):
    """For each two successive requests of a guest: (the second, {other: bytes it got in between}, ns in between)."""
    since, between = None, {}
    for at, job in log:
        if job.guest == name:
            if since is not None:
                yield job, between, at - since
            since, between = at, {}
        else:
            between[job.guest] = between.get(job.guest, 0) + cost(job)


guests = st.lists(st.tuples(st.integers(1, 1000), st.sampled_from((512, 4096, 20_480, 262_144))), min_size=2, max_size=6)


@given(st.sampled_from(("drr", "fair", "mclock")), guests)
@settings(max_examples=EXAMPLES, deadline=None)
def test_nobody_starves(policy, many):
    """Between two requests of a guest the others get what their weight allows, and a request more, whatever they want."""
    weights = {f"g{n}": weight for n, (weight, _) in enumerate(many)}
    most = {f"g{n}": size for n, (_, size) in enumerate(many)}
    scheduler = make(policy)
    server = Server(scheduler, {name: Share(weight) for name, weight in weights.items()}, 10**9, sizes=most)
    server.want(*weights)
    server.run(20_000_000)
    for name in weights:
        for job, between, _ in gaps(server.log, name):
            for other, got in between.items():
                turn = cost(Job(other, most[other]))
                if policy == "drr":
                    quantum, own = scheduler.flows[other].quantum, scheduler.flows[name].quantum
                    assert got <= (-(-cost(job) // own) + 1) * quantum + turn
                else:
                    assert got <= cost(job) * weights[other] / weights[name] + turn + 1


@given(guests, st.lists(st.integers(0, 100_000_000), min_size=6, max_size=6))
@settings(max_examples=EXAMPLES, deadline=None)
def test_nobody_starves_because_of_reservations(many, reserved):
    """They sum up to less than the device can do: what is due takes its part of the time, and no more."""
    rate = 10**9
    given_shares = {f"g{n}": Share(weight, reserved[n] if n else 0) for n, (weight, _) in enumerate(many)}
    most = {f"g{n}": cost(Job("", size)) for n, (_, size) in enumerate(many)}
    server = Server(make("mclock"), given_shares, rate, sizes=most)
    server.want(*given_shares)
    server.run(20_000_000)
    own, total = given_shares["g0"], sum(most.values())
    by_weight = sum(most["g0"] * share.weight / own.weight for share in given_shares.values()) + total
    free = (rate - sum(share.reservation for share in given_shares.values())) / SECOND
    assert all(ns <= (2 * total + by_weight) / free for _, _, ns in gaps(server.log, "g0"))


layer_steps = st.lists(st.one_of(
    st.tuples(st.sampled_from(("read", "write", "flush", "zero")), names, st.integers(1, 256)),
    st.tuples(st.just("run"), st.integers(0, 400_000), st.none()),
    st.tuples(st.sampled_from(("add", "change")), names, shares),
    st.tuples(st.just("remove"), names, st.booleans()),
    st.tuples(st.just("depth"), st.integers(1, 7), st.none()),
    st.tuples(st.just("policy"), st.sampled_from(sorted(POLICIES)), st.none())), min_size=20, max_size=60)


class Watched(TimedDisk):
    """Looks at what the layer sends to the device."""

    def submit(self, op, lba, sectors, pages, tag, pair=0):
        taken = super().submit(op, lba, sectors, pages, tag)
        if taken:
            self.check(tag)
        return taken


@given(st.sampled_from(sorted(POLICIES)), layer_steps)
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_request_is_answered_once_whatever_changes_meanwhile(policy, plan):
    host = Machine(memory_mib=1).host
    disk = Watched(host, entries=8, scheduler=make(policy))
    layer, env = disk.layer, host.env
    answers, earlier = {}, {}      # number -> statuses; number of a flush -> the writes before it
    writes = {name: set() for name in "abcd"}

    def check(request):
        assert layer.in_flight < layer.depth
        assert answers[request.lba] == []
        if request.op == "flush":
            assert all(answers[number] for number in earlier[request.lba])
    disk.check = check

    def submit(name, op, sectors):
        number = len(answers)
        answers[number] = []
        if op == "flush":
            earlier[number] = {write for write in writes[name] if not answers[write]}
        elif op != "read" and (name not in layer.services or layer.services[name].open):
            writes[name].add(number)
        layer.submit(name, op, number, sectors, (), answers[number].append)

    for step, who, what in plan:
        if step == "run":
            env.run(until=env.now + who + 1)
        elif step == "depth":
            layer.set_depth(who)
        elif step == "policy":
            layer.set_scheduler(make(who))
        elif step == "add":
            if who not in layer.queue.flows and not (who in layer.services and layer.services[who].outstanding):
                layer.add(who, what)
        elif step == "change":
            if who in layer.queue.flows:
                fields = {name: getattr(what, name) for name in what.__dataclass_fields__}
                layer.change(who, **fields)
        elif step == "remove":
            if who in layer.queue.flows:
                layer.remove(who, abort=what)
        else:
            submit(who, step, what)
    env.run()
    assert all(len(statuses) == 1 and statuses[0] in (0, ABORTED, GONE) for statuses in answers.values())
    assert layer.in_flight == 0 and len(layer.queue) == 0
    flat = [statuses[0] for statuses in answers.values()]
    for status, name in ((0, "requests"), (ABORTED, "aborted"), (GONE, "refused")):
        assert flat.count(status) == sum(getattr(service, name) for service in layer.services.values())
    for name, service in layer.services.items():
        assert service.outstanding == 0 and not service.writes and not service.flushes
        assert service.open == (name in layer.queue.flows)
