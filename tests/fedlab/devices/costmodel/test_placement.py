"""Placement of operators on two processors: timed as it runs, and no worse than either processor alone."""

from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices.costmodel.placement import PlacedTask, co_scheduled, preferring, timeline


def chain(*seconds: dict[str, float]) -> list[PlacedTask]:
    return [PlacedTask(name=str(at), seconds=each, after=(at - 1,) if at else ()) for at, each in enumerate(seconds)]


def test_a_chain_takes_the_sum_of_its_tasks_and_switches():
    tasks = chain({"cpu": 4, "dsp": 1}, {"cpu": 2}, {"cpu": 4, "dsp": 1})
    found = timeline(tasks, ("dsp", "cpu", "dsp"), 0.5)
    assert (found.seconds, found.switches) == (1 + 0.5 + 2 + 0.5 + 1, 2)
    assert found.busy_seconds == {"dsp": 2, "cpu": 2}


def test_work_beside_the_chain_runs_at_the_same_time():
    tasks = [
        PlacedTask(name="a", seconds={"dsp": 1}),
        PlacedTask(name="side", seconds={"cpu": 2, "dsp": 1}, after=(0,), side=True),
        PlacedTask(name="b", seconds={"dsp": 3}, after=(0,)),
    ]
    assert timeline(tasks, ("dsp", "cpu", "dsp"), 0.5).seconds == 4
    assert timeline(tasks, ("dsp", "dsp", "dsp"), 0.5).seconds == 5
    assert co_scheduled(tasks, 0.5).placement == ("dsp", "cpu", "dsp")


def test_a_short_task_stays_where_the_others_are_if_a_switch_takes_longer():
    tasks = chain({"cpu": 9, "dsp": 1}, {"cpu": 1, "dsp": 1.5}, {"cpu": 9, "dsp": 1})
    assert co_scheduled(tasks, 1.0).placement == ("dsp", "dsp", "dsp")
    assert co_scheduled(tasks, 0.1).placement == ("dsp", "cpu", "dsp")


def test_no_tasks_take_no_time():
    assert timeline([], (), 1.0).seconds == 0


unit = st.floats(0.01, 10)


@st.composite
def networks(draw):
    tasks, last = [], None
    for at in range(draw(st.integers(1, 12))):
        seconds = {"cpu": draw(unit), "dsp": draw(unit)}
        if draw(st.booleans()):
            del seconds["dsp"]
        side = at > 0 and draw(st.booleans())
        tasks.append(PlacedTask(name=str(at), seconds=seconds, after=() if last is None else (last,), side=side))
        last = last if side else at
    return tasks


@given(tasks=networks(), switch=st.floats(0, 2))
def test_co_scheduling_is_no_worse_than_either_processor_alone(tasks, switch):
    found = co_scheduled(tasks, switch)
    assert found.seconds == timeline(tasks, found.placement, switch).seconds
    assert all(place in task.seconds for place, task in zip(found.placement, tasks, strict=True))
    for name in ("cpu", "dsp"):
        assert found.seconds <= timeline(tasks, preferring(tasks, name), switch).seconds


@given(tasks=networks(), switch=st.floats(0, 2))
def test_a_placement_takes_at_least_what_its_busiest_processor_computes(tasks, switch):
    found = co_scheduled(tasks, switch)
    assert found.seconds >= max(found.busy_seconds.values()) - 1e-9


@given(tasks=networks(), switch=st.floats(0, 2), factor=st.floats(1, 3))
def test_longer_tasks_never_end_sooner_in_the_same_placement(tasks, switch, factor):
    placement = preferring(tasks, "dsp")
    longer = [
        PlacedTask(
            name=each.name, seconds={name: factor * value for name, value in each.seconds.items()}, after=each.after
        )
        for each in tasks
    ]
    assert timeline(longer, placement, switch).seconds >= timeline(tasks, placement, switch).seconds
