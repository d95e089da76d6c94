"""What importing xlathe brings in, and that imports point one way in the code as it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = {
    "xlathe": {path.stem for path in (ROOT / "xlathe").iterdir()}
    | {"runtime", "tracer", "compiler"},
    "runtime": {"runtime", "tracer", "compiler"},
    "tracer": {"tracer", "compiler"},
    "compiler": {"compiler"},
}
FILES = [path for stage in STAGES for path in sorted((ROOT / stage).rglob("*.py"))]
HEAVY = (
    "optax flax equinox keras sklearn tqdm pandas torch tensorflow matplotlib IPython pytest "
    "tensorboardX"
)


def imported(path: Path) -> set[str]:
    """The modules that a file imports, those inside functions included."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, "write imports out in full"
            found |= {f"{item.module}.{alias.name}" for alias in item.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path):
    stage = path.relative_to(ROOT).parts[0]
    for module in imported(path):
        package, _, rest = module.partition(".")
        if package == "xlathe":
            assert rest.split(".")[0] in STAGES[stage], module


def test_the_compiler_knows_of_no_jaxpr():
    found = [
        path
        for path in (ROOT / "compiler").rglob("*.py")
        if "jaxpr" in path.read_text().replace("update_jaxpr", "")
    ]
    assert not found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_jax_is_imported_that_it_keeps_to_itself(path: Path):
    assert not [module for module in imported(path) if module.startswith("jax._src")]


def modules_after(statement: str, platform: str = "cpu") -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": platform},
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_importing_xlathe_brings_in_jax_and_nothing_heavy():
    before = modules_after("import jax, jax.numpy, jax.extend.source_info_util")
    brought = {module.split(".")[0] for module in modules_after("import xlathe") - before}
    assert "xlathe" in brought
    assert not brought & set(HEAVY.split())


def test_importing_xlathe_starts_no_device():
    assert "xlathe" in modules_after("import xlathe", platform="a platform that there is not")


def test_the_public_names():
    import xlathe

    public = {name for name in dir(xlathe) if not name.startswith("_")}
    assert {"compile", "optimize", "Traced", "NotOptimized"} <= public
    assert xlathe.__version__
    assert xlathe.compile.__doc__
    assert xlathe.optimize.__doc__
