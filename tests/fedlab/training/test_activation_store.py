import errno
import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fedlab.data.tokens import TokenSet
from fedlab.models.load import encoder_sizes, encoder_tensors
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.training.activation_store import ActivationStore

COUNT, WIDTH, HIDDEN = 70, 9, 32
ONE_DEPTH = 4 * COUNT * WIDTH * HIDDEN  # bytes of a tagger's states
PLENTY = 100 * ONE_DEPTH
ROWS = np.array([3, 60, 4, 17, 69, 0])


def adapters(depth):
    return Bottleneck(depth=depth, width=4).split_point(3)


def whole(depth):
    return TopBlocks(depth=depth).split_point(3)


@pytest.fixture(scope="module")
def tokens(tiny):
    lengths = np.random.default_rng(0).integers(2, WIDTH + 1, COUNT).astype(np.int32)
    lengths[7] = WIDTH
    ids, _ = tiny.texts(lengths.tolist())
    labels = np.zeros(COUNT, np.int64)
    return TokenSet(
        input_ids=ids.numpy().astype(np.int32), lengths=lengths, whole_lengths=lengths, labels=labels, digest=""
    )


class Counted:
    """A network that counts how often it computes."""

    def __init__(self, network):
        self.network, self.computed = network, 0

    def __getattr__(self, name):
        return getattr(self.network, name)

    def frozen(self, *arguments):
        self.computed += 1
        return self.network.frozen(*arguments)


@pytest.fixture
def tagger(tiny):
    """A network whose states take the same room at every depth."""
    return Counted(tiny.network(kind="tagging"))


@pytest.fixture
def store(tmp_path):
    return lambda budget=PLENTY: ActivationStore(folder=tmp_path / "states", budget_bytes=budget)


def ask(store, network, tokens, *, split="train", depth=3, at=None, rows=ROWS):
    """Ask for the states below adapters of a depth, or at another split point."""
    return store.states(network, tokens, rows, split=split, at=at or adapters(depth))


def computes(network, act):
    before = network.computed
    act()
    return network.computed > before


@given(
    depth=st.integers(0, 3),
    family=st.sampled_from(["bert", "distilbert"]),
    kind=st.sampled_from(["classification", "tagging"]),
    rows=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=COUNT, unique=True),
    asked_before=st.lists(st.integers(0, 3), max_size=2),
)
@settings(derandomize=True, max_examples=25)
def test_stored_states_are_the_computed_ones_bit_by_bit(
    tiny, tokens, tmp_path_factory, depth, family, kind, rows, asked_before
):
    network, rows, folder = tiny.network(family, kind), np.array(rows), tmp_path_factory.mktemp("states")
    stores = [ActivationStore(folder=folder, budget_bytes=PLENTY) for _ in range(2)]
    without = ActivationStore(folder=folder, budget_bytes=0)
    for earlier in asked_before:
        ask(stores[0], network, tokens, depth=earlier, rows=rows)

    computed = ask(without, network, tokens, depth=depth, rows=rows)
    filled, found, by_another = (ask(each, network, tokens, depth=depth, rows=rows) for each in (*stores, stores[0]))

    assert computed.dtype == torch.float32
    assert computed.shape == (len(rows), *network.state_shape(adapters(depth), WIDTH))
    assert torch.equal(filled, computed)
    assert torch.equal(found, computed)
    assert torch.equal(by_another, computed)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_every_row_has_the_state_of_its_own_text(tiny, tokens, store, kind, depth):
    network = tiny.network(kind=kind)

    states = ask(store(), network, tokens, depth=depth)

    for state, row in zip(states, ROWS, strict=True):
        length = int(tokens.lengths[row])
        ids = torch.from_numpy(tokens.input_ids[row : row + 1, :length]).long()
        alone = tiny.states(network, ids, torch.tensor([length]), adapters(depth))[0]
        real = state if state.dim() == 1 else state[:length]
        torch.testing.assert_close(real, alone, atol=1e-5, rtol=0)


def test_what_is_stored_is_not_computed_again(tagger, tokens, store):
    assert computes(tagger, lambda: ask(store(), tagger, tokens))
    assert not computes(tagger, lambda: ask(store(), tagger, tokens))


def test_other_rows_splits_and_depths_are_computed(tagger, tokens, store):
    ask(store(), tagger, tokens, depth=3)

    assert computes(tagger, lambda: ask(store(), tagger, tokens, rows=np.array([1, 2])))
    assert computes(tagger, lambda: ask(store(), tagger, tokens, split="test"))
    assert computes(tagger, lambda: ask(store(), tagger, tokens, depth=1))


def test_a_pass_stores_the_states_of_greater_depths_as_well(tagger, tokens, store):
    ask(store(), tagger, tokens, depth=0)

    for depth in range(1, 4):
        assert not computes(tagger, lambda depth=depth: ask(store(), tagger, tokens, depth=depth))


def test_for_a_set_that_never_grows_those_of_greater_depths_are_not_stored(tagger, tokens, store, tmp_path):
    at = adapters(1)
    table, places = store().table(tagger, tokens, ROWS, split="train", at=at, grows=False)
    assert [path.name for path in sorted(tmp_path.rglob("*.states"))] == [f"train-{at}.states"]
    again, _ = store().table(tagger, tokens, ROWS, split="train", at=at)
    assert torch.equal(table[places], again[places])
    assert len(list(tmp_path.rglob("*.states"))) == 1  # there is nothing to compute, and so nothing else to store


def test_what_enters_a_whole_block_is_not_what_its_adapter_reads(tagger, tokens, store):
    at_adapter = ask(store(), tagger, tokens, depth=2)

    entering = ask(store(), tagger, tokens, at=whole(2))

    assert entering.shape == at_adapter.shape
    assert not torch.allclose(entering, at_adapter, atol=1e-2)
    assert torch.equal(entering, ask(store(0), tagger, tokens, at=whole(2)))
    assert not computes(tagger, lambda: ask(store(), tagger, tokens, at=whole(2)))


def test_below_whole_blocks_only_what_is_asked_for_is_stored(tagger, tokens, store, tmp_path):
    ask(store(), tagger, tokens, at=whole(1))

    assert [path.name for path in (tmp_path / "states").glob("*.states")] == ["train-block_input-2.states"]


def test_where_all_blocks_are_trained_the_states_are_the_token_ids_and_nothing_is_stored(
    tagger, tokens, store, tmp_path
):
    ids = ask(store(), tagger, tokens, at=whole(3))

    assert ids.tolist() == tokens.input_ids[ROWS].tolist()
    assert not computes(tagger, lambda: ask(store(), tagger, tokens, at=whole(3)))
    assert not (tmp_path / "states").exists()


def test_what_fits_nowhere_is_computed_every_time_with_the_same_bits(tagger, tokens, store, tmp_path):
    too_small = store(ONE_DEPTH - 1)

    first = ask(too_small, tagger, tokens)

    assert computes(tagger, lambda: ask(too_small, tagger, tokens))
    assert torch.equal(first, ask(store(), tagger, tokens))


def test_what_fits_exactly_is_stored(tagger, tokens, store):
    just_enough = store(ONE_DEPTH)
    ask(just_enough, tagger, tokens)

    assert not computes(tagger, lambda: ask(just_enough, tagger, tokens))


def test_what_was_used_longest_ago_goes_first(tagger, tokens, store):
    room_for_two = store(2 * ONE_DEPTH)
    for split in ("first", "second", "first", "third"):
        ask(room_for_two, tagger, tokens, split=split)
        time.sleep(0.02)  # the file system's clock moves in steps

    assert not computes(tagger, lambda: ask(room_for_two, tagger, tokens, split="first"))
    assert not computes(tagger, lambda: ask(room_for_two, tagger, tokens, split="third"))
    assert computes(tagger, lambda: ask(room_for_two, tagger, tokens, split="second"))


def test_room_is_not_taken_from_others_for_depths_nobody_asked_for(tagger, tokens, store):
    room_for_two = store(2 * ONE_DEPTH)
    ask(room_for_two, tagger, tokens, split="test", depth=3)

    ask(room_for_two, tagger, tokens, split="train", depth=0)

    assert not computes(tagger, lambda: ask(room_for_two, tagger, tokens, split="test", depth=3))
    assert not computes(tagger, lambda: ask(room_for_two, tagger, tokens, split="train", depth=0))


def test_depths_nobody_asked_for_are_the_first_to_go(tagger, tokens, store, tmp_path):
    room = store(4 * ONE_DEPTH)
    ask(room, tagger, tokens, split="test", depth=0)  # stores all four depths
    ask(room, tagger, tokens, split="test", depth=0, rows=np.array([1, 2]))  # writes to all of them

    asked = tmp_path / "states" / f"test-{adapters(0).state}.states"
    others = set((tmp_path / "states").glob("*.states")) - {asked}
    assert len(others) == 3
    assert asked.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in others)
    ask(room, tagger, tokens, split="train", depth=0)
    assert not computes(tagger, lambda: ask(room, tagger, tokens, split="test", depth=0))


def test_a_depth_that_was_asked_for_stays_so_when_a_pass_to_another_writes_to_it(tagger, tokens, store):
    room = store(4 * ONE_DEPTH)
    ask(room, tagger, tokens, split="test", depth=1)
    ask(room, tagger, tokens, split="test", depth=0, rows=np.array([1, 2]))

    ask(room, tagger, tokens, split="train", depth=0)

    assert not computes(tagger, lambda: ask(room, tagger, tokens, split="test", depth=1))


@pytest.mark.parametrize("budget", [0, ONE_DEPTH - 1, ONE_DEPTH, 2.5 * ONE_DEPTH, 4 * ONE_DEPTH])
def test_there_is_never_more_on_disk_than_the_budget(tagger, tokens, store, tmp_path, budget):
    expected = {depth: ask(store(0), tagger, tokens, depth=depth) for depth in range(4)}
    limited = store(int(budget))

    for split, depth in [("a", 0), ("b", 3), ("a", 1), ("a", 2), ("b", 0), ("c", 3), ("a", 0), ("b", 2)]:
        assert torch.equal(ask(limited, tagger, tokens, split=split, depth=depth), expected[depth])
        files = [file for file in (tmp_path / "states").rglob("*") if file.is_file()]
        notes = COUNT * len(files)  # a byte a text for what is filled
        assert sum(file.stat().st_size for file in files) <= budget + notes


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_while_a_file_is_made_spoils_nothing(tagger, tokens, store, monkeypatch, number):
    expected = ask(store(0), tagger, tokens, depth=2)
    opened, make = [], Path.open

    def open_or_die(path, mode="r", *rest, **more):
        opened.extend([path] if mode == "wb" else [])
        if len(opened) == number:
            raise KeyboardInterrupt
        return make(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", open_or_die)
    with pytest.raises(KeyboardInterrupt):
        ask(store(), tagger, tokens, depth=2)
    monkeypatch.undo()

    assert torch.equal(ask(store(), tagger, tokens, depth=2), expected)
    assert torch.equal(ask(store(), tagger, tokens, depth=2), expected)


def test_states_of_different_data_in_one_folder_share_its_room(tagger, tokens, tmp_path):
    first, second = (
        ActivationStore(folder=tmp_path, budget_bytes=int(1.5 * ONE_DEPTH), prefix=name) for name in ("one-", "two-")
    )
    expected = ask(first, tagger, tokens, depth=3)
    assert torch.equal(ask(second, tagger, tokens, depth=3), expected)
    assert [path.name for path in tmp_path.glob("*.states")] == ["two-train-adapter-0.states"]


@pytest.mark.parametrize("spoil", ["states", "filled"])
def test_a_file_that_lost_its_end_is_made_anew(tagger, tokens, store, tmp_path, spoil):
    expected = ask(store(0), tagger, tokens, depth=2)
    ask(store(), tagger, tokens, depth=2)
    file = tmp_path / "states" / f"train-adapter-1.{spoil}"
    os.truncate(file, file.stat().st_size // 2)

    assert torch.equal(ask(store(), tagger, tokens, depth=2), expected)


def test_states_whose_notes_are_lost_are_computed_anew(tagger, tokens, store, tmp_path):
    expected = ask(store(), tagger, tokens, depth=2)
    (tmp_path / "states" / "train-adapter-1.filled").unlink()

    assert torch.equal(ask(store(), tagger, tokens, depth=2), expected)


def test_on_a_full_disk_states_are_computed_each_time(tagger, tokens, store, tmp_path, monkeypatch):
    expected = ask(store(0), tagger, tokens, depth=2)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    assert torch.equal(ask(store(), tagger, tokens, depth=2), expected)
    assert not list((tmp_path / "states").glob("*.states"))


def test_states_that_last_are_on_the_disk_before_they_count_as_stored(tagger, tokens, tmp_path, monkeypatch):
    """The system writes maps back when it likes: at a power failure the flags may be there, and states unsynced not."""
    synced = {}

    def flush(self):
        synced[Path(self.filename).name] = Path(self.filename).read_bytes()

    monkeypatch.setattr(np.memmap, "flush", flush)
    lasting = ActivationStore(folder=tmp_path / "states", budget_bytes=PLENTY, prefix="kept-")
    ask(lasting, tagger, tokens, depth=2, rows=ROWS[:3])
    ask(lasting, tagger, tokens, depth=2, rows=ROWS[3:5])
    left = tmp_path / "left"
    left.mkdir()
    for file in (tmp_path / "states").glob("kept-*"):
        lost = bytes(file.stat().st_size)
        (left / file.name).write_bytes(synced.get(file.name, lost) if file.suffix == ".states" else file.read_bytes())

    again = ActivationStore(folder=left, budget_bytes=PLENTY, prefix="kept-")
    none = ActivationStore(folder=tmp_path / "none", budget_bytes=0)
    for depth in (1, 2, 3):
        for rows in (ROWS[:3], ROWS[3:5]):
            expected = ask(none, tagger, tokens, depth=depth, rows=rows)
            assert torch.equal(ask(again, tagger, tokens, depth=depth, rows=rows), expected)


FILL = """
import hashlib, json, sys, time
from pathlib import Path
import numpy as np, torch
from safetensors.torch import load_file
from fedlab.training.activation_store import ActivationStore
from fedlab.data.tokens import TokenSet
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.load import encoder_from_tensors
from fedlab.models.split import Network

torch.set_num_threads(1)
folder, me, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
encoder = encoder_from_tensors(load_file(folder / "encoder"), json.loads((folder / "sizes").read_text()))
network = Network(encoder=encoder, kind="tagging", pooling="cls")
arrays = {name: np.load(folder / f"{name}.npy") for name in ("input_ids", "lengths", "labels")}
tokens = TokenSet(**arrays, whole_lengths=arrays["lengths"], digest="")
store = ActivationStore(folder=folder / "states", budget_bytes=int(sys.argv[4]))
(folder / me).touch()
while not (folder / other).exists():
    time.sleep(0.001)
for depth in (3, 1, 0, 2):
    for part in np.array_split(np.arange(len(tokens.lengths)), 4):
        at = Bottleneck(depth=depth, width=1).split_point(3)
        states = store.states(network, tokens, part, split="train", at=at)
        print(hashlib.sha256(states.numpy().tobytes()).hexdigest())
"""


def test_processes_that_fill_at_once_get_the_same_bits(tiny, tokens, tmp_path):
    encoder = tiny.network().encoder
    save_file(encoder_tensors(encoder), tmp_path / "encoder")
    (tmp_path / "sizes").write_text(json.dumps(encoder_sizes(encoder)))
    for name in ("input_ids", "lengths", "labels"):
        np.save(tmp_path / f"{name}.npy", getattr(tokens, name))

    def start(me, other, budget=2 * ONE_DEPTH):  # so little that they take each other's room as well
        return subprocess.Popen(
            [sys.executable, "-c", FILL, str(tmp_path), me, other, str(budget)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    processes = [start("a", "b"), start("b", "a")]
    said = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0] == said[1][0]
    alone = ActivationStore(folder=tmp_path / "none", budget_bytes=0)
    for depth, line in zip((3, 1, 0, 2), said[0][0].split()[::4], strict=True):
        first_part = np.array_split(np.arange(COUNT), 4)[0]
        states = ask(alone, tiny.network(kind="tagging"), tokens, depth=depth, rows=first_part)
        assert sha256(states.numpy().tobytes()).hexdigest() == line
