"""What the health checks of a deployment see of a real SuperLink."""

import pytest

from fedlab.deploy.node.health import pending_seconds, serverapp_works


@pytest.mark.slow
def test_a_run_is_pending_until_somebody_takes_it(lab, wait_for, tmp_path):
    lab.start_link("--isolation", "process")
    address = f"http://127.0.0.1:{lab.port}"
    assert pending_seconds(address, None) == 0.0
    lab.submit("rounds=1 strategy.name=fedavgg")
    wait_for(lambda: (pending_seconds(address, None) or 0.0) > 1.0, "the run waits", lab)
    lab.start_apps()
    wait_for(lambda: pending_seconds(address, None) == 0.0, "the run is taken", lab)
    assert serverapp_works(address, None, tmp_path)
