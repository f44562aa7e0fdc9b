"""Runs the Khronos glTF validator (npm `gltf-validator`, a development dependency) on bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

_PROGRAM = """
const validator = require('gltf-validator');
const chunks = [];
process.stdin.on('data', chunk => chunks.push(chunk));
process.stdin.on('end', () => validator
  .validateBytes(new Uint8Array(Buffer.concat(chunks)), { maxIssues: 100 })
  .then(report => console.log(JSON.stringify(report)))
  .catch(error => { console.error(String(error)); process.exit(3); }));
"""


def validate(data: bytes) -> list[str]:
    """Everything the validator says about `data`: errors, warnings, infos and hints, one line each.

    A missing node or package is a failure with the command that adds it, never a skip.
    """
    node = shutil.which("node")
    assert node, "the Khronos validator needs Node.js: install it (`apt-get install nodejs npm`)"
    package = ROOT / "node_modules" / "gltf-validator"
    assert package.is_dir(), f"run `npm install --no-audit --no-fund` in {ROOT}"
    run = subprocess.run([node, "-e", _PROGRAM], input=data, cwd=ROOT, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr.decode()
    issues = json.loads(run.stdout)["issues"]
    severity = ("error", "warning", "info", "hint")
    return [
        f"{severity[m['severity']]} {m['code']}: {m['message']} {m.get('pointer', '')}"
        for m in issues["messages"]
    ]
