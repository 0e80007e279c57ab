import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

OLD_RUN = Path(__file__).parents[1] / "results" / "old_runs" / "adafl"


def test_a_run_is_served_on_loopback_until_ctrl_c(tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    command = [sys.executable, "-u", "-m", "fedlab", "watch", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        address = line.removeprefix(f"{run}: ").partition(" ")[0]
        with urlopen(f"{address}body") as answer:
            assert "<h1>" in answer.read().decode()
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)

    assert line == f"{run}: {address} (Ctrl-C ends it)\n"
    assert address.startswith("http://127.0.0.1:")
    assert (server.returncode, err) == (0, "")


def test_bad_usage_is_one_line(fedlab, tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wrong = [
            ([tmp_path / "none"], 2, f"fedlab: {tmp_path}/none: no such run folder\n"),
            ([tmp_path], 2, f"fedlab: {tmp_path}: not a run folder (no experiment.toml); expected one written by "),
            ([run, "--port", port], 2, f"fedlab: --port {port}: cannot be had: Address already in use; choose another"),
        ]
        for words, code, said in wrong:
            got = fedlab("watch", *words)
            assert (got.code, len(got.err.splitlines())) == (code, 1)
            assert got.err.startswith(said)


def test_records_that_cannot_be_read_are_named_before_anything_is_served(fedlab, tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    (run / "trials.jsonl").write_text("[]\n")

    got = fedlab("watch", run)

    assert got.code == 1
    assert f"{run}/trials.jsonl, line 1: not a record" in got.err
