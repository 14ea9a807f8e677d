"""The metadata and files of the repository agree with the package."""

import pathlib
import re
import tomllib

import jaxspike as js

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_oldest_versions_are_those_that_are_required():
    lines = (ROOT / ".github" / "oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    required = dict(re.split(">=", dependency) for dependency in PROJECT["dependencies"])
    assert pinned.keys() == required.keys()
    for package, version in pinned.items():
        assert f"{version}.".startswith(f"{required[package]}."), package


def test_the_workflow_runs_the_versions_of_the_package():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    named = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert f'python: "{named[0]}"' in workflow
    assert f'python: "{named[-1]}"' in workflow


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {js.__version__}\n" in citation
    assert f"license: {PROJECT['license']}\n" in citation
    assert PROJECT["urls"]["Repository"] in citation
    assert PROJECT["authors"][0]["name"] in citation


def test_the_changelog_has_this_version():
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", js.__version__]


def test_links_of_the_readme_are_absolute_on_pypi():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "README.md").read_text()
    for rule in pyproject["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"][
        "substitutions"
    ]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 20
    assert all(target.startswith(("https://", "#")) for target in targets)
    assert "![A grid of layers" in text and "(https://raw.githubusercontent.com/" in text
