import json
import shutil
import threading
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from fedlab.errors import UserError
from fedlab.results.folder import open_run
from fedlab.results.html.live import LivePage, LiveServer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("fedlab.results.html.live.POLL_SECONDS", 0.05)


@pytest.fixture
def run(adafl_run, tmp_path):
    """Return a run folder that has come to the end of its fourth round of eight."""
    path = shutil.copytree(adafl_run.path, tmp_path / "run")
    (path / "summary.json").unlink()
    for name in ("rounds.jsonl", "clients.jsonl"):
        lines = (path / name).read_text().splitlines(keepends=True)
        (path / name).write_text("".join(each for each in lines if json.loads(each)["server_round"] <= 4))
    return path


@contextmanager
def served(run):
    with LiveServer(LivePage(open_run(run)), 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def got(address, **headers):
    with urlopen(Request(address, headers=headers)) as answer:
        return answer.read().decode()


def go_on(run, adafl_run):
    for name in ("rounds.jsonl", "clients.jsonl"):
        shutil.copy(adafl_run.path / name, run / name)


def test_the_page_follows_the_run(run, adafl_run):
    with served(run) as address:
        before = got(f"{address}state")
        assert "not ended: 4 of 8 rounds" in got(f"{address}body")
        assert got(f"{address}state") == before

        go_on(run, adafl_run)

        assert got(f"{address}state") != before
        assert "not ended: 8 of 8 rounds" in got(f"{address}body")


def test_a_record_that_is_not_whole_yet_is_not_read(run):
    with (run / "rounds.jsonl").open("a") as file:
        file.write('{"server_round": 5, ')

    with served(run) as address:
        assert "not ended: 4 of 8 rounds" in got(f"{address}body")


def test_a_record_that_cannot_be_read_is_said_and_the_server_goes_on(run, adafl_run):
    with served(run) as address:
        with (run / "rounds.jsonl").open("a") as file:
            file.write("{}\n")
        with pytest.raises(HTTPError) as error:
            got(f"{address}body")
        assert error.value.code == 503
        assert "rounds.jsonl, line 5: not a record" in error.value.read().decode()

        go_on(run, adafl_run)

        assert "8 of 8" in got(f"{address}body")


def test_other_paths_and_other_sites_names_are_refused(run):
    with served(run) as address:
        for path, headers, code in (("../experiment.toml", {}, 404), ("", {"Host": "evil.example:80"}, 403)):
            with pytest.raises(HTTPError) as error:
                got(f"{address}{path}", **headers)
            assert error.value.code == code


def test_a_port_that_is_taken_is_named(run):
    with served(run) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(UserError, match=rf"--port {port}: cannot be had: Address already in use; choose another"):
            LiveServer(LivePage(open_run(run)), port)


def test_an_open_page_takes_over_what_is_new_and_stays_where_it_is(run, adafl_run, opened, waited):
    with served(run) as address:
        browser = opened(address)
        browser.execute_script("document.querySelector('[value=round][name=over]').click()")
        browser.execute_script("document.getElementById('round-table').open = true; window.scrollTo(0, 900)")
        top = browser.execute_script("return window.scrollY")

        def drawn_rounds():
            return browser.execute_script(
                "return document.querySelector('[data-chart=accuracy]').view?.data('accuracy').length"
            )

        before = drawn_rounds()
        go_on(run, adafl_run)

        lead = "return document.querySelector('.lead').textContent"  # in one call: the element is replaced
        waited(lambda: "8 of 8 rounds" in browser.execute_script(lead))
        waited(lambda: drawn_rounds() not in (None, before))
        assert browser.execute_script("return window.scrollY") == top
        assert browser.execute_script("return document.querySelector('[name=over]:checked').value") == "round"
        assert browser.execute_script("return document.getElementById('round-table').open")
        assert browser.get_log("browser") == []
