"""What an experiment names is constructed once by a run's server, and its client once by each actor."""

from collections import Counter

import pytest

COUNTED = '''
"""A strategy, client, link, availability and codec that write down each time one of them is made, and by whom."""

import os
from pathlib import Path

from clients.adapter import adapter
from fedlab.codecs.quantiser import int8
from fedlab.network.availability import always
from fedlab.network.links import constant
from strategies.fedavg import FedAvg


def made(what):
    with Path(__file__).with_name("made.txt").open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")


class Strategy(FedAvg):
    def __init__(self, *, clients_per_round: int = 3):
        made("strategy")
        super().__init__(clients_per_round=clients_per_round)


def client(**options):
    made("client")
    return adapter(**options)


def link():
    made("link")
    return constant("1MB/s")


def availability():
    made("availability")
    return always()


def codec():
    made("codec")
    return int8()
'''
SETTINGS = {
    "strategy": "{name = 'counted.py:Strategy', options = {clients_per_round = 6}}",
    "client": "{name = 'counted.py:client', depth = 1}",
    "link": "{name = 'counted.py:link'}",
    "availability": "{name = 'counted.py:availability'}",
    "codec": "{up = ['counted.py:codec']}",
    "rounds": "2",
    "engine.pack": "1",
}


@pytest.fixture(scope="module")
def makers(fedlab):
    """Run two rounds with two actors; return how often each thing was made by the server, and by each other process."""
    (fedlab.folder / "counted.py").write_text(COUNTED)
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    ended = fedlab.run("counted", *words)
    assert ended.code == 0, ended.err
    lines = [line.split() for line in (fedlab.folder / "made.txt").read_text().splitlines()]
    server = next(process for what, process in lines if what == "strategy")
    by_server = Counter(what for what, process in lines if process == server)
    by_actors = Counter((process, what) for what, process in lines if process != server)
    return by_server, by_actors


@pytest.mark.slow
def test_the_server_makes_everything_once(makers):
    by_server, _ = makers
    assert by_server == dict.fromkeys(("strategy", "client", "link", "availability", "codec"), 1)


@pytest.mark.slow
def test_each_actor_makes_its_client_once_and_nothing_of_the_servers(makers):
    _, by_actors = makers
    assert [count for (_, what), count in by_actors.items() if what == "client"] == [1, 1]
    assert {what for _, what in by_actors} == {"client", "codec"}
