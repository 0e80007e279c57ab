from fedlab.deploy.node.journal import Download, Journal, read_journal, write_journal
from fedlab.messages.measurements import Upload

JOURNAL = Journal(
    download=Download(message_id="m1", num_bytes=100, seconds=0.5), upload=Upload(num_bytes=10, seconds=0.25)
)


def test_a_journal_is_read_back_as_it_was_written(tmp_path):
    write_journal(tmp_path / "journal.json", JOURNAL)
    assert read_journal(tmp_path / "journal.json") == JOURNAL
    assert [path.name for path in tmp_path.iterdir()] == ["journal.json"]


def test_a_download_is_that_of_the_order_asked_for():
    assert JOURNAL.download_seconds("m1") == 0.5
    assert JOURNAL.download_seconds("m2") is None
    assert Journal().download_seconds("m1") is None


def test_a_journal_that_is_missing_or_broken_is_empty(tmp_path):
    assert read_journal(tmp_path / "none.json") == Journal()
    (tmp_path / "broken.json").write_text('{"download": 3}')
    assert read_journal(tmp_path / "broken.json") == Journal()
