"""What the language server must not know."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "onnx", "onnxruntime", "tokenizers", "torch")


def test_the_language_server_loads_no_tensors_and_no_runtime() -> None:
    code = f"import sys, lsp_server.server as s; s.build(); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_grammars_and_engine_do_not_know_the_protocol() -> None:
    code = "import sys, engine.core, engine.service.client; print([m for m in sys.modules if 'lsp' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
