"""Settings of the whole test suite: strict about shapes, quiet about nothing."""

import os

import hypothesis
import jax
import numpyro  # noqa: F401 (before ArviZ registers it lazily, whatever a test imports first)
import pytest

# One thread for each process: two JAX processes otherwise fight over two cores.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
# Shapes that broadcast by adding axes hide mistakes; NumPyro and our code both pass without.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow, so no deadline; the same examples on every run.
hypothesis.settings.register_profile("bnnbook", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("bnnbook")


@pytest.fixture
def x64():
    """Laws and exact answers run in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def compiled_programs():
    """Forget a module's compiled programs when it ends.

    Each keeps about three memory maps, of which Linux allows a process 65,530: a worker that has
    compiled some twenty thousand programs dies with "LLVM compilation error: Cannot allocate
    memory" at whatever test comes next.
    """
    yield
    jax.clear_caches()


def pytest_terminal_summary(terminalreporter):
    """Show what tests measured, also where they pass: their property "said"."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "said":
                terminalreporter.write_line(value)
