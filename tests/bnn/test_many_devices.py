"""Members and chains over two devices, or two processes, end where each of them ends alone."""

import itertools
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import os, sys
import jax

kind, path = sys.argv[1:3]
if kind == "processes":
    address, rank = sys.argv[3:]
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(address, num_processes=2, process_id=int(rank))
else:
    jax.config.update("jax_num_cpu_devices", 2 if kind == "devices" else 1)
import numpy as np
from bnnbook.bnn import deep_ensemble, mean_field, sgld, swag, train
from bnnbook.models.bayesian_network import regression

network = regression(1, (5,), 1.0)
x = np.linspace(-1, 1, 20)[:, None]
data = network.data(x, np.sin(3 * x[:, 0]))
ten = train.Settings(num_steps=10, learning_rate=0.01, batch_size=8)
methods = {
    "deep ensemble": (deep_ensemble, deep_ensemble.Settings(4, ten)),
    "SWAG": (swag, swag.Settings(2, ten, num_states=9, rank=3, num_draws=5, batch_size=8)),
    "mean field": (mean_field, mean_field.Settings(10, num_fits=4, num_draws=5, batch_size=8)),
    "SGLD": (sgld, sgld.Settings(5, 5, 1, num_chains=4, learning_rate=0.01, batch_size=8)),
}
devices = 1 if kind == "alone" else 2
assert len(jax.devices()) == devices
found = {}
for name, (method, settings) in methods.items():
    fitted = method.fit(jax.random.key(3), network, data, settings, num_devices=devices)
    leaves = jax.tree.leaves(fitted.params)
    flat = [np.asarray(leaf).reshape(fitted.num_chains, -1) for leaf in leaves]
    found[name] = np.concatenate(flat, axis=1)
if kind == "processes":
    # On one device each process has the whole to itself, once.
    method, settings = methods["deep ensemble"]
    whole = method.fit(jax.random.key(3), network, data, settings)
    assert whole.num_chains == 4
    for leaf, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(method.fit(
        jax.random.key(3), network, data, settings, num_devices=2).params)):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-5)
if jax.process_index() == 0:
    np.savez(path, **found)
"""


def start(*arguments):
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(*processes):
    for process in processes:
        try:
            said, _ = process.communicate(timeout=400)
        finally:
            process.kill()
        assert process.returncode == 0, said[-3000:]


METHODS = ("deep ensemble", "SWAG", "mean field", "SGLD")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "members.npz"
    finish(start("alone", path))
    found = dict(np.load(path))
    for members in found.values():
        for one, other in itertools.combinations(members, 2):
            assert not np.allclose(one, other, atol=0.1)  # they are told apart
    return found


@pytest.fixture(scope="module")
def over_devices(tmp_path_factory):
    path = tmp_path_factory.mktemp("devices") / "members.npz"
    finish(start("devices", path))
    return dict(np.load(path))


@pytest.fixture(scope="module")
def over_processes(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path_factory.mktemp("processes") / "members.npz"
    finish(*(start("processes", path, address, rank) for rank in range(2)))
    return dict(np.load(path))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_members_over_two_devices_end_where_they_end_on_one(method, alone, over_devices):
    np.testing.assert_allclose(over_devices[method], alone[method], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_members_over_two_processes_end_where_they_end_in_one(method, alone, over_processes):
    np.testing.assert_allclose(over_processes[method], alone[method], rtol=1e-4, atol=1e-5)
