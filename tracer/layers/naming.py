"""Names of layers: unique ones from class names, as Keras's."""

import re
from collections import defaultdict

_counts: defaultdict[str, int] = defaultdict(int)


def snake_case(name: str) -> str:
    """Return a class name in lower case with underscores: MaxPooling2D → max_pooling2d."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix`, numbered from its second use on: dense, dense_1, and so on."""
    count = _counts[prefix]
    _counts[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def clear_session() -> None:
    """Forget the names given so far: the next Dense is called "dense" again."""
    _counts.clear()
