"""The callback that sends metrics to a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping

from xlathe.runtime.training.callbacks.callback import Callback, Logs

_TIMEOUT_SECONDS = 10


class RemoteMonitor(Callback):
    """Sends the metrics of each epoch to a server, by HTTP POST.

    A server that can't be reached is warned of; training goes on.

    Args:
        root: the server.
        path: where on the server.
        field: the field of the form that holds the metrics as JSON.
        headers: additional HTTP headers.
        send_as_json: whether to send JSON rather than a form.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        if not root.startswith(("http://", "https://")):
            raise ValueError(
                f"`root` must start with 'http://' or 'https://'. Received: root={root!r}"
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = dict(headers or {})
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        text = json.dumps({"epoch": epoch, **(logs or {})}, default=lambda array: array.tolist())
        body = text if self.send_as_json else urllib.parse.urlencode({self.field: text})
        headers = dict(self.headers)
        if self.send_as_json:
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.root + self.path, body.encode(), headers)
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()
            warnings.warn(f"The server at {self.root} refused the metrics: {error}", stacklevel=2)
        except OSError as error:
            warnings.warn(
                f"Could not reach RemoteMonitor root server at {self.root}: {error}", stacklevel=2
            )
