"""`fedlab new` writes a file that can be run, and never over another."""

from fedlab.config.file import load_experiment


def test_a_new_experiment_is_written_once(fedlab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = fedlab("new", "mine", "--from", "20news-head")
    assert (done.code, done.out.strip()) == (0, "mine.toml: change it, then fedlab run mine.toml")
    assert load_experiment(tmp_path / "mine.toml").name == "mine"

    again = fedlab("new", "mine")

    assert again.code == 2
    assert "mine.toml" in again.err
    assert load_experiment(tmp_path / "mine.toml").strategy.name == "fedavg"
