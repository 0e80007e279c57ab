"""The pool of actors answers in the order of its calls, outlives its actors, and names those that hang."""

import os
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import RayError

from fedlab.errors import RunFailedError
from fedlab.simulation.engine.workers import Call, Lost, WorkerPool, shared

PATIENCE_SECONDS = 300.0  # more than any test takes
HANG_SECONDS = 3.0


@pytest.fixture(scope="module")
def actors(ray_address):
    """Start actors that answer, die and hang as they are told, and hand them out one by one."""

    class Puppet:
        """Written here, and not at the top, so that its actors need not import this file."""

        def double(self, number):
            return 2 * number

        def slowly_double(self, number, seconds):
            time.sleep(seconds)
            return 2 * number

        def die(self):
            time.sleep(0.5)  # answers on their way out would be lost with it
            os._exit(1)

        def die_once(self, marker):
            first = not Path(marker).exists()
            Path(marker).touch()
            if first:
                self.die()
            return "done again"

        def hang(self):
            time.sleep(1000)

        def hang_once(self, marker):
            first = not Path(marker).exists()
            Path(marker).touch()
            if first:
                time.sleep(1000)
            return "done again"

        def fail(self):
            raise ValueError("no such thing")

        def sum(self, values):
            return sum(values)

        def number(self):
            return os.getpid()

        def slowly_number(self, seconds):
            time.sleep(seconds)
            return os.getpid()

    puppet = ray.remote(num_cpus=0)(Puppet)
    handles = [puppet.remote() for _ in range(18)]
    ray.get([handle.number.remote() for handle in handles])  # all have started: from now on a second is long
    spare = iter(handles)
    yield lambda: next(spare)
    for handle in handles:
        ray.kill(handle)


@pytest.fixture
def pool(actors):
    """Return a function that makes a pool of two of them; `troubles` lists what it told."""

    def make(*, workers=2, hang_seconds=PATIENCE_SECONDS):
        troubles = []
        pool = WorkerPool(actors, workers=workers, hang_seconds=hang_seconds, on_trouble=troubles.append)
        pool.troubles = troubles
        return pool

    return make


@pytest.fixture(scope="module")
def lasting(actors):
    """Return a pool that the tests share in which nothing dies."""
    return WorkerPool(actors, workers=2, hang_seconds=PATIENCE_SECONDS, on_trouble=pytest.fail)


def call(method, *arguments, about=None):
    return Call(method=method, arguments=arguments, about=about or f"{method} {arguments}")


def test_answers_come_in_the_order_of_the_calls(lasting):
    delays = [0.3, 0.0, 0.1, 0.0, 0.0, 0.2, 0.0]
    calls = [call("slowly_double", number, delay) for number, delay in enumerate(delays)]
    assert lasting.run(calls) == [0, 2, 4, 6, 8, 10, 12]


def test_no_calls_have_no_answers(lasting):
    assert lasting.run([]) == []


def test_every_actor_gets_work(lasting):
    assert len(set(lasting.run([call("number")] * 8))) == 2


def test_an_actor_does_not_wait_for_a_slower_one(lasting):
    calls = [call("slowly_double", 1, 2.0), *[call("number")] * 20]
    _, *numbers = lasting.run(calls)
    counts = sorted(numbers.count(number) for number in set(numbers))
    assert sum(counts[:-1]) <= 1  # the slow one had one call queued behind its long one, at most


def test_no_call_waits_behind_the_longest_one_when_others_come_free(lasting):
    calls = [call("slowly_number", 2.0), call("slowly_number", 0.3), call("slowly_number", 0.1)]
    longest, *others = lasting.run(calls)
    assert longest not in others


def test_what_is_shared_is_put_into_the_store_once_and_arrives_as_the_value(lasting):
    values, other = [1, 2, 3], [4]
    references = shared([values, other, values, values])
    assert len(references) == 2
    calls = [call("sum", references[id(each)]) for each in (values, other, values)]
    assert lasting.run(calls) == [6, 4, 6]


def test_an_actor_that_dies_is_replaced_and_its_call_done_again(pool, tmp_path):
    workers = pool()
    calls = [call("double", 1), call("die_once", str(tmp_path / "died"), about="client 7"), call("double", 2)]
    assert workers.run([*calls, *[call("double", number) for number in range(6)]])[:3] == [2, "done again", 4]
    (trouble,) = workers.troubles
    assert "worker" in trouble
    assert "died at client 7" in trouble
    assert "\n" not in trouble
    assert workers.run([call("double", 5)] * 4) == [10] * 4
    assert len(workers.troubles) == 1


def test_a_call_at_which_two_actors_die_is_lost_and_those_before_and_behind_it_are_not(pool):
    workers = pool(workers=1)
    calls = [call("double", 0), call("die", about="client 3"), call("double", 1), call("double", 2)]
    first, lost, *rest = workers.run(calls)
    assert isinstance(lost, Lost)
    assert "worker 0 died at client 3" in lost.reason
    assert [first, *rest] == [0, 2, 4]
    assert len(workers.troubles) == 2


def test_a_call_of_many_clients_may_take_so_many_times_as_long(pool):
    workers = pool(hang_seconds=1.0)
    calls = [Call(method="slowly_double", arguments=(number, 2.0), about="clients", size=4) for number in range(3)]
    assert workers.run(calls) == [0, 2, 4]
    assert workers.troubles == []


def test_an_actor_that_hangs_is_ended_while_another_answers(pool, tmp_path):
    workers = pool(hang_seconds=HANG_SECONDS)
    short = [call("slowly_double", number, HANG_SECONDS / 3) for number in range(6)]
    assert workers.run([call("hang_once", str(tmp_path / "hung")), *short])[0] == "done again"
    assert len(workers.troubles) == 1


def test_an_actor_that_hangs_is_named_and_ended_and_its_call_done_again(pool, tmp_path):
    workers = pool(hang_seconds=HANG_SECONDS)
    handles = [actor.handle for actor in workers._actors]
    calls = [call("double", 1), call("hang_once", str(tmp_path / "hung"), about="client 9"), call("double", 2)]
    assert workers.run(calls) == [2, "done again", 4]
    (trouble,) = workers.troubles
    assert "has not answered for 3 s at client 9" in trouble
    ended = [handle for handle in handles if not answers(handle)]
    assert len(ended) == 1
    assert f"worker {handles.index(ended[0])} " in trouble


def answers(handle):
    try:
        return ray.get(handle.double.remote(2), timeout=60.0) == 4
    except RayError:
        return False


def test_a_call_that_raises_fails_the_run_and_says_where_and_why(lasting):
    with pytest.raises(RunFailedError, match=r"worker \d failed at client 4: ValueError\('no such thing'\)"):
        lasting.run([call("fail", about="client 4")])


def test_a_pool_is_as_good_as_new_after_a_run_that_failed(lasting):
    with pytest.raises(RunFailedError):
        lasting.run([call("double", 1), call("fail"), call("slowly_double", 2, 0.5), call("double", 3)])
    assert lasting.run([call("double", number) for number in range(5)]) == [0, 2, 4, 6, 8]


def test_a_closed_pools_actors_are_gone(pool):
    workers = pool(workers=1)
    (actor,) = workers._actors
    assert answers(actor.handle)
    workers.close()
    assert any(not answers(actor.handle) for _ in range(1000))  # Ray ends them in its own time
