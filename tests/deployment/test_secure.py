"""TLS with an authority of its own, node keys, a superexec secret and the gateway; and who is kept out."""

import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from fedlab.deploy.security.keys import make_keys


@pytest.fixture
def secured(lab, wait_for, free_port):
    """Start a SuperLink that asks for everything, with a gateway before it; nodes 0 and 1 are known to it."""
    keys = lab.folder / "keys"
    make_keys(keys, hosts=["127.0.0.1", "localhost"], nodes=3, days=2)
    ca, certificate, key = (keys / name for name in ("ca.pem", "server.pem", "server.key"))
    lab.link_words = ["--ssl-ca-certfile", ca, "--ssl-certfile", certificate, "--ssl-keyfile", key]
    lab.connection = f'root-certificates = "{ca}"'
    secret = ["--superexec-auth-secret-file", keys / "superexec.secret"]
    lab.start_link("--enable-supernode-auth", "--isolation", "process", *secret)
    lab.start_apps("--root-certificates", ca, *secret)
    lab.gateway_port = free_port()
    words = ["--superlink", f"127.0.0.1:{lab.port}", "--port", lab.gateway_port, "--keys", keys]
    lab.start("gateway", lab.bin / "fedlab", "deploy", "gateway", *words)
    wait_for(lambda: lab.listens(lab.gateway_port), "the gateway listens", lab, 60)
    for number in range(2):
        done = lab.flwr("supernode", "register", str(keys / f"node-{number}.pub"), "lab")
        assert done.returncode == 0, done.stdout + done.stderr
    return lab


@pytest.fixture
def own_texts(tmp_path):
    """Write six texts that no other node has."""
    path = tmp_path / "own.csv"
    path.write_text("text,label\n" + 3 * "warm sun over stone,day\nred moon cold river,night\n")
    return path


@pytest.mark.slow
def test_nodes_with_a_known_key_run_through_the_gateway_and_all_others_are_kept_out(
    secured, own_texts, backbone, tmp_path
):
    lab, keys = secured, secured.folder / "keys"
    stranger = tmp_path / "strangers"
    make_keys(stranger, hosts=["localhost"], nodes=1, days=2)
    kept_out = {
        "wrong-ca": lab.bare("wrong-ca", "--root-certificates", stranger / "ca.pem", key=keys / "node-0"),
        "unknown-key": lab.bare("unknown-key", "--root-certificates", keys / "ca.pem", key=stranger / "node-0"),
        "no-key": lab.bare("no-key", "--root-certificates", keys / "ca.pem"),
        "plaintext": lab.bare("plaintext", "--insecure"),
    }
    data = {0: ["--partition", "0/2"], 1: ["--data", own_texts, "--number", "77"]}
    for number, words in data.items():
        secrets = ["--key", keys / f"node-{number}", "--ca", keys / "ca.pem"]
        lab.join(number, *words, *secrets, port=lab.gateway_port)
    settings = (
        f"backbone.name={backbone} task.labels=[day,night] rounds=2"
        " strategy.name=fedavg strategy.options={clients_per_round=2}"
    )
    run_id = lab.submit(settings, run="secure", nodes=2)
    for name, process in kept_out.items():
        assert process.wait(timeout=120) != 0, name
    assert lab.finish(run_id) == "finished:completed", lab.logs()

    clients = lab.records("secure", "clients.jsonl")
    done = {(each["server_round"], each["partition_id"]) for each in clients}
    assert done == {(1, 0), (1, 77), (2, 0), (2, 77)}
    assert {each["num_examples"] for each in clients if each["partition_id"] == 77} == {6}
    assert all(each["download_seconds"] > 0 for each in clients)  # `fedlab client` measures its traffic
    assert all(each["upload_seconds"] > 0 for each in clients if each["server_round"] == 2)
    trust = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    for path in ("/v1/control/list-runs", "/v1/runtime/acquire-task", "/v1/fleet/../control/list-runs", "/docs"):
        request = urllib.request.Request(f"https://127.0.0.1:{lab.gateway_port}{path}", data=b"", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=trust)
        assert refused.value.code == 404, path
    assert oct((keys / "node-0").stat().st_mode)[-3:] == "600"
    plain = subprocess.run(
        [lab.bin / "fedlab", "client", "--server", "localhost", "--partition", "0/2"],
        cwd=tmp_path,
        env=lab.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 2
    assert "--insecure" in plain.stderr
