"""LeNet-5 on MNIST: our search beside PyTorch's, a step at a time and a member at a time.

    nox -s benchmarks -- images
    python benchmarks/images.py --steps 200 --rounds 5 --torch /path/to/a/python/with/torch

Both train the same network (two convolutions of 5 by 5, mean pooling, three dense layers, rectified
units; 44,426 weights) on the same 60,000 pictures in batches of 128 with Adam, and are timed over
as many steps, after a first run that compiles or warms up. "One member" has both cores for one
network: the threads of PyTorch, those of XLA. "Two members" are two networks: ours at once, over
two virtual devices, those of PyTorch one after the other with all threads, as ensembles are trained
there. Rounds go through all cases in turn, and the ratios are of the same round, so that a busy
machine is busy for both. PyTorch is not in the locks, as it is larger than all else together: give
an interpreter that has it, of any version, by ``--torch``; without one its rows are left out.

Measured on two cores of an AMD EPYC, not idle, on 2026-11-28, beside PyTorch 2.13.0, 200 steps and
three rounds: one member takes 1.5 times PyTorch's time (1.1 times on the processor), two members
0.98 times (0.85 times).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 128


def ours(pixels, labels, steps, num_members, num_devices):
    import jax
    import numpy as np

    from bnnbook.bnn import train
    from bnnbook.models.bayesian_network import Network
    from bnnbook.models.likelihoods import Categorical
    from bnnbook.models.networks import LeNet

    network = Network(LeNet(), Categorical(10), weight_scale=2**0.5, bias_scale=0.3)
    data = network.data(pixels, labels)
    settings = train.Settings(num_steps=steps, batch_size=BATCH)

    def run(seed):
        found = train.search(
            jax.random.key(seed), network, data, settings, num_members, num_devices=num_devices
        )
        np.asarray(found.ended)

    return lambda seed: timed(run, seed)


def theirs(pixels, labels, steps, num_members):
    import torch
    from torch import nn

    x, y = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)

    def member(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
            *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for _ in range(steps):
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

    return lambda seed: timed(run, seed)


def timed(run, seed):
    """Seconds of the clock, and of all processors together."""
    wall, processor = time.perf_counter(), time.process_time()
    run(seed)
    return time.perf_counter() - wall, time.process_time() - processor


def serve(folder, steps):
    """In the other interpreter: a run for each line "members seed", answered by its seconds."""
    import numpy as np

    pixels, labels = (np.load(Path(folder) / f"{name}.npy") for name in ("pixels", "labels"))
    runs = {members: theirs(pixels, labels, steps, members) for members in (1, 2)}
    for line in sys.stdin:
        members, seed = map(int, line.split())
        print(*runs[members](seed), flush=True)


class Elsewhere:
    """PyTorch in an interpreter of its own."""

    def __init__(self, python, folder, steps):
        command = [python, __file__, "--serve", folder, "--steps", str(steps)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)

    def run(self, members):
        def ask(seed):
            print(members, seed, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
            if not answer:
                raise SystemExit("PyTorch's interpreter ended: has it torch and numpy?")
            return tuple(map(float, answer.split()))

        return ask


def compare(cases, rounds):
    """The median seconds of each case, and of its ratios to the case that it is held against."""
    found = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (run, _) in cases.items():
            seconds = run(number)
            if number:  # the first compiles, or warms up
                found[name].append(seconds)
    print(f"{'':34}{'seconds':>10}{'processor':>12}{'ratio':>10}{'processor':>12}")
    for name, (_, against) in cases.items():
        columns = [statistics.median(part) for part in zip(*found[name], strict=True)]
        text = f"{name:34}{columns[0]:10.2f}{columns[1]:12.2f}"
        if against in found:
            pairs = zip(found[name], found[against], strict=True)
            ratios = [[a / b for a, b in zip(*pair, strict=True)] for pair in pairs]
            middle = [statistics.median(part) for part in zip(*ratios, strict=True)]
            text += f"{middle[0]:10.2f}{middle[1]:12.2f}"
        print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.steps)
        return
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
    import numpy as np

    from bnnbook.datasets import images

    digits = images.load("mnist", "train")
    pixels, labels = images.scaled(digits.pixels), digits.labels.astype(np.int64)
    one, two = "PyTorch, one member", "PyTorch, two members in turn"
    cases = {
        "ours, one member": (ours(pixels, labels, given.steps, 1, 1), one),
        "ours, two members, two devices": (ours(pixels, labels, given.steps, 2, 2), two),
    }
    print(f"{given.steps} steps of {BATCH}, and one look at all {len(labels)} pictures")
    with tempfile.TemporaryDirectory() as folder:
        if given.torch:
            np.save(Path(folder) / "pixels.npy", pixels)
            np.save(Path(folder) / "labels.npy", labels)
            there = Elsewhere(given.torch, folder, given.steps)
            cases |= {one: (there.run(1), None), two: (there.run(2), None)}
        compare(cases, given.rounds)


if __name__ == "__main__":
    main()
