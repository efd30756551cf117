"""When, where and with which versions a page is run: kept beside its outputs."""

import datetime
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

#: The packages whose versions decide a page's numbers, by the name that readers know.
PACKAGES = {
    "jax": "JAX",
    "numpyro": "NumPyro",
    "arviz": "ArviZ",
    "numpy": "NumPy",
    "bnnbook": "bnnbook",
}


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def here_and_now() -> dict[str, Any]:
    """When, where and with which versions something is run, here and now."""
    versions = {"Python": platform.python_version()}
    for name, shown in PACKAGES.items():
        try:
            versions[shown] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }
