"""TLS with an authority of its own, node keys, a superexec secret and the gateway; and who is kept out."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree, PullObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedlab.deploy.security.keys import make_keys


@pytest.fixture
def secured(lab, wait_for, free_port):
    """Start a SuperLink that asks for everything, with a gateway before it; nodes 0 to 2 are known to it."""
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
    for number in range(3):
        done = lab.flwr("supernode", "register", str(keys / f"node-{number}.pub"), "lab")
        assert done.returncode == 0, done.stdout + done.stderr
    return lab


class Intruder:
    """A node with a registered key that calls the gateway as it likes."""

    def __init__(self, lab, number):
        self._lab = lab
        key = load_ssh_private_key((lab.folder / "keys" / f"node-{number}").read_bytes(), None)
        self._client = FleetHttpClient.from_server_address(
            f"127.0.0.1:{lab.gateway_port}",
            False,
            (lab.folder / "keys" / "ca.pem").read_bytes(),
            [RuntimeVersionHttpInterceptor("SuperNode"), NodeAuthHttpInterceptor(key, key.public_key())],
        )
        public = public_key_to_bytes(key.public_key())
        request = ActivateNodeRequest(public_key=public, heartbeat_interval=600)
        self.node = Node(node_id=self._client.ActivateNode(request).node_id)

    def others(self):
        """Return the ids of the other nodes that are there; nodes themselves cannot list them."""
        listed = json.loads(self._lab.flwr("supernode", "ls", "lab", "--format", "json").stdout)["nodes"]
        return [
            int(each["node-id"])
            for each in listed
            if each["status"] == "online" and int(each["node-id"]) != self.node.node_id
        ]

    def answers_garbage(self, wait_for):
        """Answer the first message to this node with arrays that it does not send, and nonsense."""
        asked = PullMessagesRequest(node=self.node)
        order = wait_for(lambda: self._client.PullMessages(asked).messages_list, "a message", self._lab)[0]
        metadata = Metadata()
        metadata.CopyFrom(order.metadata)
        metadata.src_node_id, metadata.dst_node_id = self.node.node_id, order.metadata.src_node_id
        metadata.message_id, metadata.reply_to_message_id = "f" * 64, order.metadata.message_id
        tree = ObjectTree(object_id="f" * 64, children=[ObjectTree(object_id="e" * 64)])
        return self._code(
            self._client.PushMessages,
            PushMessagesRequest(
                node=self.node, messages_list=[Message(metadata=metadata)], message_object_trees=[tree]
            ),
        )

    def tries(self, other):
        """Try what only another node may do; return the status of each answer."""
        other_node, message = Node(node_id=other), Message(metadata=Metadata(src_node_id=other))
        return {
            "pull": self._code(self._client.PullMessages, PullMessagesRequest(node=other_node)),
            "push own": self._code(
                self._client.PushMessages, PushMessagesRequest(node=self.node, messages_list=[message])
            ),
            "push": self._code(
                self._client.PushMessages, PushMessagesRequest(node=other_node, messages_list=[message])
            ),
            "heartbeat": self._code(self._client.SendNodeHeartbeat, SendNodeHeartbeatRequest(node=other_node)),
            "leave": self._code(self._client.DeactivateNode, DeactivateNodeRequest(node_id=other)),
        }

    def finds(self, run_id, object_id):
        """Tell whether there is an object of that id."""
        request = PullObjectRequest(node=self.node, run_id=int(run_id), object_id=object_id)
        return self._client.PullObject(request).object_found

    @staticmethod
    def _code(call, request):
        try:
            call(request)
        except httpx.HTTPStatusError as error:
            return error.response.status_code
        return 200


@pytest.fixture
def own_texts(tmp_path):
    """Write six texts that no other node has."""
    path = tmp_path / "own.csv"
    path.write_text("text,label\n" + 3 * "warm sun over stone,day\nred moon cold river,night\n")
    return path


@pytest.mark.slow
def test_nodes_with_a_known_key_run_through_the_gateway_and_all_others_are_kept_out(
    secured, own_texts, backbone, tmp_path, wait_for
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
    intruder = Intruder(lab, 2)
    wait_for(lambda: len(intruder.others()) == 2, "both nodes are registered", lab)
    settings = (
        f"backbone.name={backbone} task.labels=[day,night] rounds=2"
        " strategy.name=fedavg strategy.options={clients_per_round=2}"
    )
    run_id = lab.submit(settings, run="secure", nodes=2)
    answered = intruder.answers_garbage(wait_for)
    for other in intruder.others():
        assert intruder.tries(other) == {"pull": 401, "push own": 403, "push": 401, "heartbeat": 401, "leave": 401}
    assert intruder.finds(run_id, "0" * 64) is False
    for name, process in kept_out.items():
        assert process.wait(timeout=120) != 0, name
    assert lab.finish(run_id) == "finished:completed", lab.logs()
    assert answered

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
