"""Pictures of models: the SVG is XML with a box for each layer and an edge between each two."""

import re
import shutil
from xml.etree import ElementTree

import pytest

import xlathe as xl
from xlathe import layers

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture):
    return ElementTree.fromstring(picture.svg)


def boxes(root):
    """The boxes' frames and lines of text, by key."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        frame = group.find(f"{SVG}rect").attrib
        sides = tuple(float(frame[name]) for name in ("x", "y", "width", "height"))
        found[group.get("data-key")] = (sides, [text.text for text in group.findall(f"{SVG}text")])
    return found


def edges(root):
    return {
        (path.get("data-from"), path.get("data-to"))
        for path in root.iter(f"{SVG}path")
        if path.get("class") == "edge"
    }


def branched():
    one, two = xl.Input((8,), name="one"), xl.Input((4,), name="two")
    shared = layers.Dense(4, name="shared")
    x = layers.Dense(4, activation="relu", name="left")(one)
    merged = layers.Concatenate(name="merged")([shared(x), shared(two), x])
    return xl.Model([one, two], layers.Dense(1, name="score")(merged), name="ranker")


def nested():
    inner = xl.Sequential([layers.Input((4,)), layers.Dense(3, name="inside")], name="encoder")
    start = xl.Input((4,), name="start")
    return xl.Model(start, layers.Dense(2, name="head")(inner(start)), name="outer")


def overlap(one, other):
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def test_a_sequential_model_is_a_chain():
    model = xl.Sequential(
        [xl.Input((8,), name="start"), layers.Dense(4, name="a"), layers.Dense(2, name="b")]
    )
    root = parsed(xl.utils.plot_model(model, None, show_shapes=True, show_layer_names=True))
    found = boxes(root)
    assert found["a"][1] == ["a (Dense)", "input: (None, 8)", "output: (None, 4)"]
    assert found["start"][1] == ["start (InputLayer)", "output: (None, 8)"]
    assert edges(root) == {("start", "a"), ("a", "b")}
    assert found["start"][0][1] < found["a"][0][1] < found["b"][0][1]


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_branches_and_shared_layers(rankdir):
    root = parsed(
        xl.utils.plot_model(
            branched(),
            None,
            rankdir=rankdir,
            show_layer_activations=True,
            show_dtype=True,
            show_trainable=True,
        )
    )
    found = boxes(root)
    assert set(found) == {"one", "two", "left", "shared", "merged", "score"}
    assert found["left"][1] == ["Dense", "activation: relu", "dtype: float32", "trained"]
    assert edges(root) == {
        ("one", "left"),
        ("left", "shared"),
        ("two", "shared"),
        ("shared", "merged"),
        ("left", "merged"),
        ("merged", "score"),
    }
    along = 1 if rankdir == "TB" else 0
    for start, end in edges(root):
        assert found[start][0][along] + found[start][0][along + 2] <= found[end][0][along]
    frames = [sides for sides, _ in found.values()]
    for place, frame in enumerate(frames):
        assert not any(overlap(frame, other) for other in frames[place + 1 :])
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in frames)


def test_an_edge_over_several_rows_goes_round_the_boxes_between():
    found = boxes(root := parsed(xl.utils.plot_model(branched(), None)))
    (path,) = (
        path.get("d", "")
        for path in root.iter(f"{SVG}path")
        if (path.get("data-from"), path.get("data-to")) == ("left", "merged")
    )
    corners = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+),([\d.]+)", path)]
    assert len(corners) == 3
    (x, y, width, height), _ = found["shared"]
    assert not (x <= corners[1][0] <= x + width and y <= corners[1][1] <= y + height)


def test_a_layer_called_on_its_own_output():
    start = xl.Input((4,), name="start")
    again = layers.Dense(4, name="again")
    model = xl.Model(start, again(again(start)))
    root = parsed(xl.utils.plot_model(model, None))
    assert edges(root) == {("start", "again"), ("again", "again")}
    curve = next(p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("data-from") == "again")
    places = [float(x) for x in re.findall(r"([\d.]+),", curve)]
    frame = boxes(root)["again"][0]
    assert frame[0] + frame[2] == pytest.approx(places[0], abs=0.2)
    assert max(places) <= float(root.get("width", 0))


def test_inner_models_are_expanded():
    closed = parsed(xl.utils.plot_model(nested(), None, show_layer_names=True))
    assert set(boxes(closed)) == {"start", "encoder", "head"}
    opened = boxes(root := parsed(xl.utils.plot_model(nested(), None, expand_nested=True)))
    inside = opened["encoder/inside"][0]
    around = opened["encoder"][0]
    assert around[0] < inside[0]
    assert around[1] < inside[1]
    assert inside[0] + inside[2] < around[0] + around[2]
    assert inside[1] + inside[3] < around[1] + around[3]
    (inner_input,) = (key for key in opened if key.startswith("encoder/input"))
    assert edges(root) == {
        ("start", "encoder"),
        ("encoder", "head"),
        (inner_input, "encoder/inside"),
    }


def test_names_are_escaped():
    model = xl.Sequential([xl.Input((2,)), layers.Dense(1, name='a<b & "c"')])
    found = boxes(parsed(xl.utils.plot_model(model, None, show_layer_names=True)))
    assert found['a<b & "c"'][1] == ['a<b & "c" (Dense)']
    assert r'"a<b & \"c\"" [label="a<b & \"c\" (Dense)"];' in xl.utils.model_to_dot(model)


class Own(xl.Model):
    def __init__(self):
        super().__init__(name="own")
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def test_a_subclassed_model_is_one_box_and_must_be_built():
    model = Own()
    with pytest.raises(ValueError, match="not yet been built"):
        xl.utils.plot_model(model, None)
    model.build((None, 3))
    root = parsed(xl.utils.plot_model(model, None))
    assert boxes(root)["own"][1] == ["Own"]


def test_dot_text():
    text = xl.utils.model_to_dot(nested(), expand_nested=True, rankdir="LR")
    assert text.count("{") == text.count("}") == 2
    assert "rankdir=LR" in text
    assert 'subgraph "cluster_encoder"' in text
    assert '"encoder/inside" -> "head";' in text
    assert re.search(r'"start" -> "encoder/input\w*";', text)


def test_files(tmp_path):
    model = branched()
    picture = xl.utils.plot_model(model, tmp_path / "m.svg")
    assert (tmp_path / "m.svg").read_text() == picture.svg == picture._repr_svg_()
    xl.utils.plot_model(model, str(tmp_path / "m.dot"))
    assert (tmp_path / "m.dot").read_text().startswith('digraph "ranker" {')
    with pytest.raises(ValueError, match="rankdir='up'"):
        xl.utils.plot_model(model, None, rankdir="up")
    if shutil.which("dot") is None:
        with pytest.raises(ImportError, match="Graphviz"):
            xl.utils.plot_model(model, tmp_path / "m.png")
    else:
        xl.utils.plot_model(model, tmp_path / "m.png")
        assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
