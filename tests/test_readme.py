"""README's program runs, and what it says is printed is what is printed."""

import re
import runpy
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks() -> list[str]:
    """The Python blocks of README, in order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_printed_program_is_the_one_that_runs(tmp_path: Path) -> None:
    example, _, printed = blocks()
    path = tmp_path / "model.py"
    path.write_text(example)
    variables = runpy.run_path(str(path))
    traced = variables["predict"].trace(variables["params"], variables["x"])
    text = traced.as_text("python").replace(str(path), "/home/you/model.py")
    assert text == printed
    assert variables["probabilities"].shape == (32, 4)
