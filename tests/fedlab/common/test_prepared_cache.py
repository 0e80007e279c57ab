import json
import os
import subprocess
import sys
import time

import pytest

from fedlab.common.prepared_cache import cache_entries, prune_cache
from fedlab.errors import UserError

DAY = 86400


@pytest.fixture
def cache(tmp_path):
    """Make a cache of two bundles: `old`, not used for 40 days, and `new`; they share the tokens `both`."""
    for kind, name in [
        ("tokens", "both"),
        ("tokens", "old"),
        ("encoders", "old"),
        ("encoders", "new"),
        ("tasks", "any"),
    ]:
        (tmp_path / kind / name).mkdir(parents=True)
        (tmp_path / kind / name / "file").write_bytes(b"x" * 100)
    for name in ("old", "new"):
        bundle = tmp_path / "bundles" / name
        bundle.mkdir(parents=True)
        (bundle / "about.json").write_text(json.dumps({"encoder": str(tmp_path / "encoders" / name / "file")}))
        tokens = {"train": "both"} | ({"test": "old"} if name == "old" else {})
        (bundle / "task.json").write_text(json.dumps({"tokens": tokens}))
    long_ago = time.time() - 40 * DAY
    os.utime(tmp_path / "bundles" / "old", (long_ago, long_ago))
    return tmp_path


def left(cache):
    return {f"{path.parent.name}/{path.name}" for path in cache.glob("*/*")}


def test_what_is_there_is_listed_with_its_size_and_last_use(cache):
    entries = {f"{each.kind}/{each.path.name}": each for each in cache_entries(cache)}
    assert entries.keys() == left(cache)
    assert entries["tokens/both"].size_bytes == 100
    assert entries["tokens/both"].unused_days is None
    assert entries["bundles/old"].unused_days == pytest.approx(40, abs=0.1)


def test_what_was_not_used_lately_goes_with_the_parts_that_no_other_bundle_needs(cache):
    removed = prune_cache(cache, unused_days=30)
    assert left(cache) == {"bundles/new", "tokens/both", "encoders/new"}
    assert len(removed) == 4


def test_everything_goes_if_no_use_is_recent_enough(cache):
    prune_cache(cache, unused_days=0)
    assert left(cache) == set()


def test_what_a_killed_process_left_half_written_goes(cache):
    (cache / "bundles" / ".new.abc").mkdir()
    prune_cache(cache, unused_days=30)
    assert "bundles/.new.abc" not in left(cache)


def test_a_cache_that_a_run_is_using_is_not_pruned(cache):
    program = f"""
import time
from pathlib import Path
from fedlab.common.prepared_cache import use_cache
use_cache(Path({str(cache)!r}))
print("ready", flush=True)
time.sleep(600)
"""
    before = left(cache)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match="a run is using the cache"):
            prune_cache(cache, unused_days=0)
        process.kill()
    assert left(cache) == before


def test_there_need_not_be_a_cache(tmp_path):
    assert cache_entries(tmp_path / "none") == prune_cache(tmp_path / "none", unused_days=0) == []
