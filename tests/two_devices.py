"""Programs that need two devices, which one processor can pretend to be before JAX starts."""

import os
import subprocess
import sys

FLAGS = "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2"


def run(program: str) -> None:
    """Run a program in a process that has two devices; it fails where the program does."""
    environment = os.environ | {"XLA_FLAGS": FLAGS}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
