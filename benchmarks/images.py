"""LeNet-5 on MNIST: our search beside PyTorch's, a step at a time and a member at a time.

    nox -s benchmarks -- images

Both train the same network (two convolutions of 5 by 5, mean pooling, three dense layers, rectified
units; 44,426 weights) on the same 60,000 pictures in batches of 128 with Adam, and are timed over
as many steps, after a first run that compiles or warms up. Seconds are of the clock; the second
number is of all processors together. "One member" has both cores for one network: the threads of
PyTorch, those of XLA. "Two members" are two networks: ours at once, over two virtual devices, those
of PyTorch one after the other with all threads, as ensembles are trained there. PyTorch is not in
the locks, as it is larger than all else together: install it into the session's environment by hand
to have its rows. Called by hand it takes the number of steps, 200 where none is given.
"""

import importlib.util
import os
import sys
import time

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import jax
import numpy as np

from bnnbook.bnn import train
from bnnbook.datasets import images
from bnnbook.models.bayesian_network import Network
from bnnbook.models.likelihoods import Categorical
from bnnbook.models.networks import LeNet

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 200
BATCH = 128


def ours(pixels, labels, num_members, num_devices):
    network = Network(LeNet(), Categorical(10), weight_scale=2**0.5, bias_scale=0.3)
    data = network.data(pixels, labels)
    settings = train.Settings(num_steps=STEPS, batch_size=BATCH)

    def run(seed):
        found = train.search(
            jax.random.key(seed), network, data, settings, num_members, num_devices=num_devices
        )
        return float(np.asarray(found.ended).sum())

    return run


def theirs(pixels, labels, num_members):
    import torch
    from torch import nn

    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)

    def member(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
            *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for _ in range(STEPS):
            rows = torch.randint(0, len(x), (BATCH,))
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():  # our search looks at all the data once, at its end
            for begin in range(0, len(x), 512):
                model(x[begin : begin + 512])

    def run(seed):
        for i in range(num_members):
            member(seed + i)

    return run


def timed(label, run):
    run(0)
    wall, processor = time.perf_counter(), time.process_time()
    run(1)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{label:34}{wall:10.2f}{processor:12.2f}", flush=True)


def main():
    digits = images.load("mnist", "train")
    pixels, labels = images.scaled(digits.pixels), digits.labels.astype(np.int64)
    print(f"{STEPS} steps of {BATCH}, and one look at all {len(labels)} pictures")
    print(f"{'':34}{'seconds':>10}{'processor':>12}")
    timed("ours, one member", ours(pixels, labels, 1, 1))
    timed("ours, two members, two devices", ours(pixels, labels, 2, 2))
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: left out")
        return
    timed("PyTorch, one member", theirs(pixels, labels, 1))
    timed("PyTorch, two members in turn", theirs(pixels, labels, 2))


if __name__ == "__main__":
    main()
