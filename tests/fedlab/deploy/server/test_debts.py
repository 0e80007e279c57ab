from fedlab.deploy.server.debts import Debts


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_a_node_owes_until_it_answers():
    debts = Debts(at_most_seconds=10.0, now_seconds=Clock())
    assert debts.enter(7) == 10.0
    assert debts.owes(7)
    assert debts.settle(7)
    assert not debts.owes(7)
    assert not debts.settle(7)


def test_it_counts_for_so_long_at_most_and_every_further_time_for_twice_as_long():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    for began, left in ((0.0, 10.0), (10.0, 20.0), (30.0, 40.0)):
        clock.seconds = began
        assert not debts.owes(7)
        assert debts.enter(7) == left
        clock.seconds = began + left - 1
        assert debts.owes(7)


def test_a_second_order_adds_nothing_to_what_is_owed():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    debts.enter(7)
    clock.seconds = 4.0
    assert debts.enter(7) == 6.0


def test_who_has_answered_begins_anew():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    debts.enter(7)
    debts.settle(7)
    assert debts.enter(7) == 10.0
