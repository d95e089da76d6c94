"""Callbacks that write for TensorBoard, send metrics away, and evaluate moving averages."""

import http.server
import importlib.util
import json
import threading
import urllib.parse
from typing import Any

import numpy as np
import pytest

import xlathe as xl
from xlathe import callbacks, layers

random = np.random.default_rng(5)
X = random.normal(size=(24, 4)).astype("float32")
Y = X.sum(-1, keepdims=True)
HAS_TENSORBOARD = importlib.util.find_spec("tensorboardX") is not None


def model_of(**options: Any) -> Any:
    xl.set_random_seed(2)
    model = xl.Sequential(
        [xl.Input((4,), name="start"), layers.Dense(3, name="hidden"), layers.Dense(1, name="out")]
    )
    model.compile(xl.optimizers.Adam(0.05, **options), "mse", metrics=["mae"])
    return model


def fit(model, *more, **options):
    options = {"epochs": 2, "batch_size": 8, "verbose": 0, **options}
    return model.fit(X, Y, callbacks=list(more), **options)


def events_in(folder):
    """The events that a folder's files hold: a length, a checksum, the event, a checksum."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    found = []
    for path in folder.glob("events.*"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def scalars_in(folder):
    return {
        (value.tag, event.step): value.simple_value
        for event in events_in(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def test_tensorboard_writes_or_says_what_is_missing(tmp_path):
    if not HAS_TENSORBOARD:
        with pytest.raises(ImportError, match="pip install tensorboardX"):
            callbacks.TensorBoard(tmp_path)
        return
    model = model_of()
    board = callbacks.TensorBoard(
        tmp_path, histogram_freq=1, update_freq=2, write_steps_per_second=True
    )
    history = fit(model, board, validation_data=(X, Y))
    trained = scalars_in(tmp_path / "train")
    for epoch in range(2):
        assert trained["epoch_loss", epoch] == pytest.approx(history.history["loss"][epoch])
        assert trained["epoch_steps_per_second", epoch] > 0
    assert {step for tag, step in trained if tag == "batch_mae"} == {2, 4, 6}
    measured = scalars_in(tmp_path / "validation")
    assert measured["epoch_mae", 1] == pytest.approx(history.history["val_mae"][1])
    assert measured["evaluation_loss_vs_iterations", 6] == pytest.approx(
        history.history["val_loss"][1]
    )
    events = events_in(tmp_path / "train")
    tags = {value.tag for event in events for value in event.summary.value if value.histo.num}
    assert tags == {f"{weight.path}/histogram" for weight in model.weights}
    from tensorboardX.proto.graph_pb2 import GraphDef  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    (graph,) = (GraphDef.FromString(event.graph_def) for event in events if event.graph_def)
    nodes = {node.name: (node.op, list(node.input)) for node in graph.node}
    assert nodes["hidden"] == ("Dense", ["start"])
    assert nodes["out"] == ("Dense", ["hidden"])


def test_tensorboard_profiles_the_batches_asked_for(tmp_path):
    if not HAS_TENSORBOARD:
        with pytest.raises(ImportError, match="pip install tensorboardX"):
            callbacks.TensorBoard(tmp_path, profile_batch=2)
        return
    board = callbacks.TensorBoard(tmp_path, profile_batch=(2, 3), write_graph=False)
    fit(model_of(), board, epochs=1)
    assert list(tmp_path.glob("plugins/profile/*/*"))
    for bad in (-1, (3, 2), "1,2,3"):
        with pytest.raises(ValueError, match="`profile_batch` must be"):
            callbacks.TensorBoard(tmp_path, profile_batch=bad)
    with pytest.raises(ValueError, match="update_freq='step'"):
        callbacks.TensorBoard(tmp_path, update_freq="step")


def test_averages_are_evaluated_and_trained_weights_put_back():
    plain = model_of(use_ema=True, ema_momentum=0.5)
    fit(plain)
    model = model_of(use_ema=True, ema_momentum=0.5)
    seen = []

    class Watch(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(weight) for weight in self.model.get_weights()])

    history = fit(model, callbacks.SwapEMAWeights(), Watch(), validation_data=(X, Y), shuffle=False)
    kept = [np.array(average.value) for average in model.optimizer.averages]
    assert not np.allclose(seen[-1][0], kept[0])
    for weight, average in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(weight, average)
    measured = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(history.history["val_loss"][-1], rel=1e-5)


def test_averages_are_saved_and_training_goes_on_without_them(tmp_path):
    plain, model = model_of(use_ema=True), model_of(use_ema=True)
    expected = fit(plain, shuffle=False, epochs=3).history["loss"]
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights", save_weights_only=True)
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    history = fit(model, swap, keep, shuffle=False, epochs=3)
    np.testing.assert_allclose(history.history["loss"], expected, rtol=1e-6)
    final = [np.array(weight) for weight in model.get_weights()]
    for weight, other in zip(final, plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-7)
    model.load_weights(tmp_path / "3.weights")
    for weight, other in zip(model.get_weights(), final, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_averages_need_an_optimizer_that_keeps_them():
    with pytest.raises(ValueError, match="`use_ema=True`"):
        fit(model_of(), callbacks.SwapEMAWeights(), validation_data=(X, Y))


def test_averages_of_a_scaled_optimizer_replace_the_weights():
    model = model_of()
    inner = xl.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5)
    model.compile(xl.optimizers.LossScaleOptimizer(inner), "mse")
    fit(model)
    for weight, average in zip(model.get_weights(), model.optimizer.averages, strict=True):
        np.testing.assert_array_equal(weight, average.numpy())


@pytest.mark.parametrize("send_as_json", [False, True])
def test_metrics_are_sent_to_a_server(send_as_json):
    received: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, self.headers["X-Key"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            remote = callbacks.RemoteMonitor(
                f"http://127.0.0.1:{server.server_port}",
                headers={"X-Key": "a"},
                send_as_json=send_as_json,
            )
            history = fit(model_of(), remote, epochs=1)
        finally:
            server.shutdown()
            thread.join()
    ((path, key, body),) = received
    assert (path, key) == ("/publish/epoch/end/", "a")
    text = body if send_as_json else urllib.parse.parse_qs(body)["data"][0]
    sent = json.loads(text)
    assert sent == {"epoch": 0, **{name: value[0] for name, value in history.history.items()}}


def test_a_server_that_is_not_there_is_warned_of():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor"):
        history = fit(model_of(), callbacks.RemoteMonitor(f"http://127.0.0.1:{port}"), epochs=1)
    assert len(history.epoch) == 1
    with pytest.raises(ValueError, match="must start with 'http"):
        callbacks.RemoteMonitor("file:///tmp")
