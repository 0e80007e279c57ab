import sys
from collections import deque

import pytest

from fedlab.config.plugins import call_with_options, check_options, load_object, nearest, resolve, with_known
from fedlab.errors import UserError

BUILT_IN = {"tail": "collections:deque", "count": "collections:Counter"}


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def strategy(*, clients: int, rate: float = 0.1):
    if clients < 1:
        raise ValueError(f"clients = {clients}: expected at least 1")
    return clients, rate


@pytest.fixture
def plugin(tmp_path):
    """Write a Python file and return its folder."""

    def write(code, name="mine.py"):
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / name).write_text(code)
        return tmp_path

    yield write
    for module in [name for name in sys.modules if name.startswith("fedlab_user_")]:
        del sys.modules[module]


def test_the_nearest_name_comes_first_and_all_follow_in_order():
    assert nearest("widht", ["width", "depth"]) == "did you mean 'width'? accepted: depth, width"


def test_where_no_name_is_near_all_are_listed():
    assert nearest("zzz", ["width", "depth"]) == "accepted: depth, width"


def test_a_built_in_name_stands_for_its_object(tmp_path):
    assert resolve("tail", BUILT_IN, tmp_path) is deque


def test_an_unknown_name_is_told_the_nearest(tmp_path):
    message = refusal(lambda: resolve("tale", BUILT_IN, tmp_path))

    assert message == (
        "no such name 'tale': did you mean 'tail'? accepted: count, tail, or module:Name, or path/to/file.py:Name"
    )


def test_a_module_gives_its_object(tmp_path):
    assert resolve("string:digits", BUILT_IN, tmp_path) == "0123456789"


def test_a_file_gives_its_object_relative_to_the_experiment(plugin):
    base = plugin("class Mine:\n    answer = 42\n")

    assert resolve("parts/mine.py:Mine", {}, base).answer == 42
    assert load_object(f"{base}/parts/mine.py:Mine", base / "elsewhere").answer == 42


def test_a_file_is_run_once(plugin):
    base = plugin("class Mine: pass\nclass Other: pass\n")

    assert load_object("parts/mine.py:Mine", base) is load_object("parts/../parts/mine.py:Mine", base)


def test_files_of_one_name_in_different_folders_are_different(plugin, tmp_path):
    plugin("answer = 1\n")
    (tmp_path / "mine.py").write_text("answer = 2\n")

    assert load_object("parts/mine.py:answer", tmp_path) == 1
    assert load_object("mine.py:answer", tmp_path) == 2


def test_objects_of_a_file_can_be_data_classes(plugin):
    base = plugin("from dataclasses import dataclass\n\n@dataclass\nclass Mine:\n    answer: 'int' = 3\n")

    assert load_object("parts/mine.py:Mine", base)() == load_object("parts/mine.py:Mine", base)(3)


def test_a_missing_file_is_named(tmp_path):
    assert refusal(lambda: load_object("parts/none.py:Mine", tmp_path)) == f"no such file: {tmp_path}/parts/none.py"


def test_a_missing_module_is_named(tmp_path):
    message = refusal(lambda: load_object("no_such_module:Mine", tmp_path))

    assert message.startswith("'no_such_module:Mine': importing no_such_module failed: ModuleNotFoundError")


def test_a_name_that_a_file_lacks_is_told_the_nearest(plugin):
    base = plugin("class Federated: pass\n_hidden = 1\n")

    message = refusal(lambda: load_object("parts/mine.py:Federatd", base))

    assert message.startswith("'parts/mine.py:Federatd': parts/mine.py has no 'Federatd': did you mean 'Federated'?")
    assert "_hidden" not in message


@pytest.mark.parametrize(
    ("code", "reason"),
    [("1 / 0\n", "ZeroDivisionError: division by zero"), ("def (:\n", "SyntaxError"), ("raise ValueError\n", "Value")],
)
def test_a_file_that_fails_says_why_every_time(plugin, code, reason):
    base = plugin(code)

    for _ in range(2):
        assert f"importing parts/mine.py failed: {reason}" in refusal(lambda: load_object("parts/mine.py:Mine", base))


def test_what_a_file_says_of_the_users_mistake_is_passed_on(plugin):
    base = plugin("from fedlab.errors import UserError\nraise UserError('no camera')\n")

    assert refusal(lambda: load_object("parts/mine.py:Mine", base)) == "no camera"


@pytest.mark.parametrize("reference", ["module:", ":Name", ":"])
def test_half_a_reference_is_refused(tmp_path, reference):
    assert "expected module:Name or path/to/file.py:Name" in refusal(lambda: resolve(reference, {}, tmp_path))


def test_options_are_keyword_arguments():
    assert call_with_options(strategy, {"clients": 5, "rate": 0.5}, "strategy.options") == (5, 0.5)
    assert call_with_options(strategy, {"clients": 5}, "strategy.options") == (5, 0.1)


def test_an_option_that_is_not_taken_is_told_the_nearest():
    message = refusal(lambda: call_with_options(strategy, {"clients": 5, "rat": 1}, "strategy.options"))

    assert message == "unknown key strategy.options.rat: did you mean 'rate'? accepted: clients, rate"


def test_an_option_that_is_needed_is_named():
    assert (
        refusal(lambda: call_with_options(strategy, {"rate": 1}, "link.options")) == "missing key link.options.clients"
    )


def test_an_option_that_is_refused_says_where_it_stands():
    message = refusal(lambda: call_with_options(strategy, {"clients": 0}, "strategy.options"))

    assert message == "strategy.options: clients = 0: expected at least 1"


def test_what_is_called_may_raise_a_user_error_of_its_own():
    def picky(**_):
        raise UserError("no camera")

    assert refusal(lambda: call_with_options(picky, {}, "x")) == "no camera"


def test_what_takes_any_option_is_given_any():
    check_options(lambda **options: options, {"anything": 1}, "x")


@pytest.mark.parametrize("thing", [42, "text", dict])
def test_what_cannot_be_called_or_takes_no_one_knows_what_is_refused(thing):
    assert refusal(lambda: call_with_options(thing, {}, "strategy.options")).startswith("strategy.options: ")


def test_what_is_known_goes_to_parameters_of_that_name_unless_an_option_says_otherwise():
    def taking(*, seed: int, rate: float = 1.0, **others: int): ...

    assert with_known(taking, {"rate": 2}, seed=7, base_folder="here") == {"seed": 7, "rate": 2}
    assert with_known(taking, {"seed": 8}, seed=7) == {"seed": 8}


def test_what_has_no_signature_gets_the_options_alone():
    assert with_known(5, {"rate": 2}, seed=7) == {"rate": 2}
