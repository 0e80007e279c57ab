"""`fedlab new` writes a file that can be run, and never over another."""

from fedlab.config.file import load_experiment
from fedlab.config.ready import started_from


def test_a_new_experiment_is_written_once(fedlab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = fedlab("new", "mine", "--from", "20news-head")
    assert (done.code, done.out.strip()) == (0, "mine.toml: change it, then fedlab run mine.toml")
    assert load_experiment(tmp_path / "mine.toml").name == "mine"

    again = fedlab("new", "mine")

    assert again.code == 2
    assert again.err == "fedlab: mine.toml: exists already and is not overwritten; choose another NAME\n"
    assert load_experiment(tmp_path / "mine.toml").strategy.name == "fedavg"


def test_by_default_it_is_the_starter_and_a_name_may_end_as_its_file(fedlab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = fedlab("new", "mine.toml")

    assert (done.code, [path.name for path in tmp_path.iterdir()]) == (0, ["mine.toml"])
    text = (tmp_path / "mine.toml").read_text()
    assert text == started_from("mine", "starter")
    assert all("#" in line for line in text.splitlines() if line.startswith(("data", "text", "label", "scheme")))
