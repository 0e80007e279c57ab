"""What a page of a run says, without a browser."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from fedlab.data.report import ClientLabels
from fedlab.results.folder import open_run
from fedlab.results.html.parts import ChartFigure, PageTable
from fedlab.results.html.render import in_data, in_script, render_body, render_page
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run


def parts(page, kind):
    return {each.key: each for section in page.sections for each in section.parts if isinstance(each, kind)}


@pytest.fixture(scope="session")
def page(adafl_run):
    return run_page(read_run(adafl_run))


def test_a_run_has_all_sections(page):
    assert [each.key for each in page.sections] == [
        "outcome", "accuracy", "rounds", "trials", "labels", "costs", "memory", "boards", "repeat",
    ]  # fmt: skip


def test_every_chart_has_a_summary_and_a_caption(page):
    figures = parts(page, ChartFigure)

    assert set(figures) == {
        "accuracy", "loss", "rounds", "timeline", "labels", "seconds", "joules", "traffic", "memory",
    }  # fmt: skip
    assert all(len(each.summary) > 20 and each.caption for each in figures.values())


def test_accuracy_and_loss_are_drawn_over_time_rounds_energy_and_traffic(page):
    figures = parts(page, ChartFigure)

    assert set(figures["accuracy"].chart.specs) == set(figures["loss"].chart.specs)
    assert list(figures["accuracy"].chart.specs) == ["time", "round", "energy", "traffic"]


def test_figures_have_their_provenance_in_place(page, adafl_run):
    text = render_body(page)
    time = re.search(r"<dt>Simulated time</dt><dd>(.*?)</dd>", text)[1]

    assert {each.latency_provenance for each in adafl_run.clients()} == set(re.findall(r'class="level (\w+)"', time))
    sources = [row[-1] for row in parts(page, PageTable)["board-table"].rows]
    assert any("NVIDIA" in each or "AdaFL" in each or "artifact" in each for each in sources)


def test_the_page_names_the_commands_that_repeat_the_run(page, adafl_run):
    text = render_body(page)

    assert f"fedlab run {adafl_run.experiment} --out {adafl_run.path}-again" in text
    assert f"fedlab verify {adafl_run.path} {adafl_run.path}-again" in text
    assert "clients_per_round = 6" in text


def test_a_run_that_goes_on_says_how_far_it_is(adafl_run, tmp_path):
    begun = shutil.copytree(adafl_run.path, tmp_path / "begun")
    (begun / "summary.json").unlink()

    text = render_body(run_page(read_run(open_run(begun))))

    assert "not ended: 8 of 8 rounds" in text
    assert f"fedlab run --resume {begun}" in text


def test_a_run_without_a_round_says_so(adafl_run, tmp_path):
    begun = shutil.copytree(adafl_run.path, tmp_path / "begun")
    for name in ("summary.json", "rounds.jsonl", "clients.jsonl", "trials.jsonl"):
        (begun / name).unlink()

    text = render_body(run_page(read_run(open_run(begun))))

    assert "No round has ended yet." in text


def test_an_accuracy_chart_with_hardly_a_point_says_why_above_it(adafl_run, round_, tmp_path):
    records = [round_(number, 10.0 * number, validation=0.5 if number == 12 else None) for number in range(1, 13)]
    run = replace(read_run(open_run(adafl_run.path)), rounds=records, trials=[])

    text = render_body(run_page(run))

    assert "Accuracy was measured after 1 of 12 rounds" in text
    assert text.index("Accuracy was measured after") < text.index('data-chart="accuracy"')


def test_a_run_of_an_earlier_version_opens_and_says_what_is_missing(old_run):
    text = render_body(run_page(read_run(open_run(old_run))))

    assert "The run wrote no data.json" in text
    assert "The records do not say on which processor" in text
    assert 'data-chart="timeline"' in text
    assert 'data-chart="labels"' not in text


def test_what_a_user_named_is_text_and_never_markup(adafl_run, tmp_path):
    run = shutil.copytree(adafl_run.path, tmp_path / "<b>run</b>")
    file = run / "experiment.toml"
    file.write_text(file.read_text().replace('name = "planned"', 'name = "</script><script>alert(1)"'))

    text = render_body(run_page(read_run(open_run(run))))

    assert "<b>" not in text
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text


def test_data_and_scripts_do_not_end_the_element_they_stand_in():
    assert "</" not in in_data({"a": "</script>"})
    assert json.loads(in_data({"a": "</script>"})) == {"a": "</script>"}
    assert in_script("'</script>' + '<!--'") == "'<\\/script>' + '<\\!--'"
    with pytest.raises(ValueError, match="Out of range"):
        in_data(float("nan"))


def test_a_page_needs_nothing_from_elsewhere(page):
    head, _, rest = render_page(page).partition('<script type="module">')
    libraries = rest.partition("</script>")[0]

    assert not re.findall(r'(?:src|href)="(?!#|data:,)', head)
    assert "vegaEmbed" in libraries
    assert len(libraries) > 500_000
    assert not re.search(r"import\s*[({\"'*]", libraries[:2000] + libraries[-2000:])


def test_a_run_of_100_clients_and_500_rounds_stays_under_5_mb(adafl_run, client, round_):
    labels = {"examples": [30] * 100, "without_client": 0, "labels": [f"label {at}" for at in range(20)],
              "counts": [[1] * 20] * 100}  # fmt: skip
    whole = read_run(adafl_run)
    data = replace(whole.data, clients=ClientLabels(**labels))
    clients = [
        client(server_round=number, partition_id=at, device=f"jetson-tx2 x{0.5 + at / 100:.2g}",
               compute_seconds=4.123456 + at * number / 7e4)
        for number in range(1, 501)
        for at in range(100)
    ]  # fmt: skip
    rounds = [round_(number, 11.0 * number, validation=number / 1000, test=number / 1001) for number in range(1, 501)]

    page = run_page(replace(whole, rounds=rounds, trials=[], clients=clients, data=data))

    text = render_page(page)
    assert len(text.encode()) < 2_500_000
    assert "40 of 500 rounds are on this page" in text
    assert "Of 500 rounds the slowest of every 2 are drawn." in text


def test_a_run_on_real_machines_says_what_was_measured_and_what_is_not_known(adafl_run, client):
    real = [client(device="AMD EPYC", joules=0.0, idle_joules=0.0, latency_provenance="measured",
                   energy_provenance="", memory_provenance="")]  # fmt: skip
    summary = {**read_run(adafl_run).summary, "joules": 0.0, "idle_joules": 0.0}

    text = render_body(run_page(replace(read_run(adafl_run), clients=real, deployed=True, summary=summary)))

    assert "fedlab report of a run on real machines" in text
    assert "<dt>Measured time</dt>" in text
    assert re.search(r"<dt>Energy of all clients</dt><dd>unknown", text)
    assert re.search(
        r'<dt>Peak memory of a client</dt><dd>[^<]+ <span class="levels"><span class="level measured"', text
    )
    assert "No power of these machines is known" in text
    assert "No device profile of AMD EPYC is at hand." in text
