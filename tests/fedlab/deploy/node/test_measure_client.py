import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlab.common.spans import span
from fedlab.deploy.node.journal import Download, Journal, write_journal
from fedlab.deploy.node.measure_client import answer_measured
from fedlab.messages.flower_private import error_reply, with_id
from fedlab.messages.measurements import Upload
from fedlab.messages.replies import query_reply, read_board, read_measures, read_parts, read_query_reply


def client(*, prepares=False):
    app = ClientApp()

    @app.train()
    def train(message, context):
        if prepares:
            with span("prepare"):
                sum(range(200_000))
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)

    @app.query()
    def query(message, context):
        return query_reply(message, 3)

    @app.evaluate()
    def evaluate(message, context):
        return error_reply(message, 2, "broken")

    return app


@pytest.fixture
def ask(server_identity):
    def asked(app, kind, **node_config):
        message = with_id(Message(RecordDict({"config": ConfigRecord()}), 7, kind), "m1")
        context = Context(run_id=1, node_id=7, node_config=node_config, state=RecordDict(), run_config={})
        return answer_measured(app, message, context)

    return asked


def test_a_reply_says_what_it_took_without_opening_the_data(ask):
    plain, prepared = (read_measures(ask(client(prepares=each), MessageType.TRAIN)) for each in (False, True))
    assert plain.compute_seconds > 0
    assert plain.prepare_seconds == 0
    assert prepared.prepare_seconds > 0
    assert plain.peak_memory_bytes > 1e7
    assert (plain.download_seconds, plain.last_upload) == (None, None)


def test_what_the_supernode_noted_is_passed_on(ask, tmp_path):
    path = tmp_path / "journal.json"
    upload = Upload(num_bytes=10, seconds=0.5)
    write_journal(path, Journal(download=Download(message_id="m1", num_bytes=5, seconds=0.25), upload=upload))
    measures = read_measures(ask(client(), MessageType.TRAIN, **{"journal-path": str(path)}))
    assert (measures.download_seconds, measures.last_upload) == (0.25, upload)


def test_the_answer_to_a_query_says_what_the_node_runs_on(ask):
    reply = ask(client(), MessageType.QUERY, board="rpi-4b")
    assert (read_query_reply(reply), read_board(reply)) == (3, "rpi-4b")
    assert read_board(ask(client(), MessageType.QUERY))  # without a name, what the machine calls itself


def test_the_answer_to_a_query_says_into_how_many_parts_the_data_are_split(ask):
    assert read_parts(ask(client(), MessageType.QUERY, **{"num-partitions": 4})) == 4
    assert read_parts(ask(client(), MessageType.QUERY)) is None


def test_an_error_is_passed_on_as_it_is(ask):
    assert ask(client(), MessageType.EVALUATE).error.reason == "broken"
