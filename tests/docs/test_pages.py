"""The pages of `docs`: programs run as written, networks spike, links lead somewhere."""

import functools
import re

import pages
import pytest

import jaxspike as js

# layers of the networks that a page makes, all of which must spike
LAYERS = {
    "conversion.md": 2,
    "from_spikingjelly.md": 2,
    "index.md": 2,
    "learning.md": 1,
    "local_rules.md": 1,
    "operations.md": 2,
    "own_neuron.md": 0,
    "seeing.md": 4,
}
SLOW = {
    "choosing.md": 0,
    "exactness.md": 0,
    "from_norse.md": 2,
    "from_sinabs.md": 2,
    "from_snntorch.md": 2,
    "from_spyx.md": 2,
    "getting_started.md": 2,
    "models.md": 23,
    "neuroscience.md": 0,
    "own_layer.md": 3,
    "problems.md": 2,
    "silent.md": 4,
    "surrogates.md": 0,
    "sweeps.md": 0,
    "time.md": 2,
    "walks.md": 0,
}
BOTH_ORDERS = {"index.md", "problems.md", "walks.md"}
PROMISES = {
    "getting_started.md": ["accuracy 100.0%"],
    "problems.md": [
        "('3', '5', '7')\n()",
        "must have the shape that the state was built for",
        "tau = 1.007",
        "4 events, 5 frames, 4 counted\n1 events, 5 frames, 1 counted\n0 events, 5 frames, 0",
    ],
    "silent.md": ["SILENT"],
    "surrogates.md": ["True"],
    "time.md": ["sigma 0.5", "['Affine', 'Delay', 'Input', 'LIF', 'Output']"],
    "walks.md": [
        "layer ['tensor<400x16xf32>', 'tensor<400x8xf32>']",
        "parallel loops 0",
    ],
}
ELSEWHERE = {  # need files, optional packages or devices
    "bring_your_model.md": "test_bring_your_model.py",
    "data.md": "test_data_page.py",
    "export.md": "test_export_page.py",
    "imagenet.md": "test_imagenet_page.py",
    "learning_rules.md": "test_learning_rules.py",
    "nir.md": "test_nir_page.py",
    "quantization.md": "test_quantize.py",
    "recipes.md": "test_recipes.py",
    "training.md": "test_train.py",
}
ALL = [*pages.DOCS, *pages.NOTEBOOKS, *sorted(pages.ROOT.glob("*.md"))]
LINKED = [*ALL, pages.ROOT / "benchmarks" / "engine.md", *pages.ROOT.glob("jaxspike/**/*.md")]


@pytest.fixture(
    scope="module", params=[*LAYERS, *(pytest.param(page, marks=pytest.mark.slow) for page in SLOW)]
)
def page(request):
    page = pages.ROOT / "docs" / request.param
    return page, *pages.run(page)


def test_every_network_spikes(page):
    page, printed, rates = page
    assert len(rates) == (LAYERS | SLOW)[page.name]
    shown = pages.shown_rates(printed)
    assert len(shown) >= "".join(pages.programs(page)).count("firing rate ")
    assert rates + shown or page.name == "sweeps.md"
    assert all(0.5 < rate < 90 for rate in rates + shown), (rates, printed)


def test_both_orders_agree(page):
    _, printed, _ = page
    different = re.findall(r"different spikes (\d+)", printed)
    assert set(different) == ({"0"} if page[0].name in BOTH_ORDERS else set())


def test_the_numbers_that_a_page_promises(page):
    path, printed, _ = page
    if path.name in PROMISES:
        assert all(promise in printed for promise in PROMISES[path.name]), printed
    same = re.search(r"^Both print `(.*)`\.$", path.read_text(), re.MULTILINE)
    assert same is None or f"spikes of each class {same[1]}" in printed
    for difference in re.findall(r"difference.* ([-.\de]+)$", printed, re.MULTILINE):
        assert float(difference) < (0.05 if path.name == "sweeps.md" else 1e-5)


def test_rules_without_a_loss_learn(page):
    path, printed, _ = page
    if path.name == "local_rules.md":
        table = re.search(r"```\n(dt .*?)```", path.read_text(), re.DOTALL)[1]
        assert table in printed
        together, alone = map(
            float, re.search(r"together ([.\d]+), alone ([.\d]+)", printed).groups()
        )
        assert together > alone + 0.15
        first, last = map(float, re.search(r"first ([-.\d]+), last ([-.\d]+)", printed).groups())
        assert last > first + 0.5
        assert int(re.search(r"accuracy (\d+)%", printed)[1]) > 72


def test_the_tables_are_those_that_are_printed(page):
    path, printed, _ = page
    if path.name == "operations.md":
        rows = re.findall(r"^\| \w+ \| [\d.,]+ \|$", printed, re.MULTILINE)
        assert len(rows) == 8 and all(row in path.read_text() for row in rows)
        first, last = re.findall(r"operations per sample ([\d,]+), then ([\d,]+)", printed)[0]
        assert int(last.replace(",", "")) < int(first.replace(",", ""))


def test_every_program_is_run():
    with_programs = {page.name for page in pages.DOCS if pages.programs(page)}
    assert with_programs == LAYERS.keys() | SLOW.keys() | ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        (path,) = (pages.ROOT / "tests").rglob(test)
        assert page in path.read_text()


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for path, heading in pages.links(page):
        assert path.exists(), path
        assert not heading or heading in pages.headings(path), (path, heading)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_name_is_there(page):
    assert not [name for name in pages.names(page) if not is_there(name)]


def test_old_names_are_gone():
    table = (pages.ROOT / "docs" / "names.md").read_text().split("## Old names")[1]
    old = {n for row in table.splitlines() for n in pages.names_in(row.partition(" | ")[0])}
    assert len(old) > 20
    assert not [name for name in old if is_there(name)]


def is_there(name):
    try:
        functools.reduce(getattr, name.split("."), js)
    except AttributeError:
        return False
    return True


def test_every_page_is_linked_from_the_first():
    seen, new = set(), {pages.README}
    while new:
        seen |= new
        new = {p for page in new for p, _ in pages.links(page) if p.suffix == ".md"} - seen
    assert set(pages.DOCS) <= seen


def test_the_page_names_what_spikingjelly_has():
    text = (pages.ROOT / "docs" / "from_spikingjelly.md").read_text()
    for name in (
        "multi_step_forward",
        "seq_to_ann_forward",
        "MultiStepContainer",
        "SeqToANNContainer",
        "StepModeContainer",
        "set_step_mode",
        "reset_net",
    ):
        assert name in text
