"""Members over two devices, or two processes, end where each of them ends alone."""

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
from bnnbook.bnn import deep_ensemble, train
from bnnbook.models.bayesian_network import regression

network = regression(1, (5,), 1.0)
x = np.linspace(-1, 1, 20)[:, None]
data = network.data(x, np.sin(3 * x[:, 0]))
how = deep_ensemble.Settings(2, train.Settings(num_steps=10, learning_rate=0.01, batch_size=8))
devices = 1 if kind == "alone" else 2
assert len(jax.devices()) == devices
fitted = deep_ensemble.fit(jax.random.key(3), network, data, how, num_devices=devices)
flat = [np.asarray(leaf).reshape(2, -1) for leaf in jax.tree.leaves(fitted.params)]
if jax.process_index() == 0:
    np.save(path, np.concatenate(flat, axis=1))
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


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "members.npy"
    finish(start("alone", path))
    members = np.load(path)
    assert not np.allclose(members[0], members[1], atol=0.1)  # they are told apart
    return members


@pytest.mark.slow
def test_members_over_two_devices_end_where_they_end_on_one(alone, tmp_path):
    finish(start("devices", tmp_path / "members.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "members.npy"), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_members_over_two_processes_end_where_they_end_in_one(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "members.npy"
    finish(*(start("processes", path, address, rank) for rank in range(2)))
    np.testing.assert_allclose(np.load(path), alone, rtol=1e-4, atol=1e-5)
