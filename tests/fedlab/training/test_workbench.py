"""A client opens the workbench of the process that hosts it, and of no other."""

import pytest
from flwr.app import Context, RecordDict

from fedlab.errors import UserError
from fedlab.training.workbench import HostedContext, open_workbench


def context():
    return Context(run_id=3, node_id=4, node_config={"a": 1}, state=RecordDict(), run_config={"b": 2}, series_id=5)


def test_a_hosted_context_opens_what_its_host_does_and_is_the_same_otherwise(workbench):
    plain = context()
    hosted = HostedContext(plain, lambda: workbench)
    assert open_workbench(hosted) is workbench
    assert hosted.state is plain.state
    assert {**vars(hosted), "opener": None} == {**vars(plain), "opener": None}


def test_a_context_of_no_host_is_refused():
    with pytest.raises(UserError, match="open_workbench: this context has no workbench; expected the context that"):
        open_workbench(context())


def test_a_split_that_does_not_exist_is_no_split(workbench):
    assert len(workbench.tokens("validation")) > 0
    with pytest.raises(KeyError):
        workbench.tokens("partitions")
