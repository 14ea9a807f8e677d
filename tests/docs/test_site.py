"""The source of the site: every public name is in the reference, every page has a place."""

import importlib.util
import json
import re

import pages
import pytest
from test_architecture import PUBLIC

import jaxspike as js

SITE = pages.ROOT / "docs" / "site"


def load(name):
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def builder():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        return load("reference")


@pytest.fixture(scope="module")
def reference(builder):
    return builder.topics()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    target = tmp_path_factory.mktemp("site") / "source"
    load("stage").stage(target)
    return target


def test_every_public_name_is_in_the_reference_once(reference):
    listed = [name for names in reference.values() for name in names]
    assert [name for name in set(listed) if listed.count(name) > 1] == []
    again = {n for n in PUBLIC if n.startswith("jaxspike.neurons.")}  # `js.LIF`, listed as that
    assert {n for n in PUBLIC if n not in again} - set(listed) == set()
    assert {n.replace(".neurons", "") for n in again - set(listed)} <= set(listed)


def test_groups_of_the_reference_hold_names_that_exist(builder, reference):
    for topic, groups in builder.FAMILIES.items():
        members = [name for line in groups.values() for name in line.split()]
        found = builder.families(topic, reference[topic])
        assert [n.rpartition(".")[2] for _, names in found[:-1] for n in names] == members
        assert {n for _, names in found for n in names} == set(reference[topic])
    guides = {guide for guides in builder.GUIDES.values() for guide in guides}
    assert guides <= {page.stem for page in pages.DOCS}


def test_every_page_has_a_place_and_is_in_the_table_of_contents(source):
    start = (source / "index.md").read_text()
    trees = re.findall(r"```{toctree}\n(.*?)```", start, re.DOTALL)
    listed = {line for tree in trees for line in tree.splitlines() if line and line[0] != ":"}
    there = {str(p.relative_to(source).with_suffix("")) for p in source.rglob("*.md")}
    there |= {str(p.relative_to(source).with_suffix("")) for p in source.rglob("*.ipynb")}
    assert listed == there - {"index"} | {"reference/index"}


def test_links_lead_to_pages_of_the_site_or_to_the_repository(source):
    for page in source.rglob("*.md"):
        for path, _ in pages.links(page):
            assert path.exists() or "reference" in path.parts, (page.name, path)
    ideas = (source / "ideas.md").read_text()
    assert "](notebooks/01_first_network.ipynb)" in ideas
    address = (
        rf"\]\(https://github.com/jaxspike/jaxspike/blob/(\w+|v{js.__version__})/docs/seeing.py\)"
    )
    assert re.search(address, (source / "seeing.md").read_text())


def test_the_gallery_has_a_picture_of_each_notebook(source):
    start = (source / "index.md").read_text()
    images = re.findall(r":img-top: (.*)", start)
    assert len(images) == len(pages.NOTEBOOKS)
    for image in images:
        assert (source / image).read_bytes().startswith(b"\x89PNG")
    notebook = json.loads((source / "notebooks" / pages.NOTEBOOKS[0].name).read_text())
    assert any(cell.get("outputs") for cell in notebook["cells"])


@pytest.mark.slow
def test_the_program_of_the_first_page_fires():
    (program,) = pages.programs(SITE / "index.md")
    space = {}
    exec(program, space)
    assert space["y"].shape == (128, 3) and space["y_seq"].shape == (16, 128, 3)
    assert 0.01 < space["y_seq"].mean() < 0.9
