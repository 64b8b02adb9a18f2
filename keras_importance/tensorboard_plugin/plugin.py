"""The tab "Importance": serves its files and its data to the browser through TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from keras_importance.tensorboard_plugin.reader import Experiment, UnknownRunError
from keras_importance.tensorboard_plugin.runs import Runs
from keras_importance.tensorboard_plugin.stored import PLUGIN_NAME

_STATIC = Path(__file__).parent / "static"
_KINDS = {".js": "application/javascript", ".css": "text/css"}

App = Callable[[Any, Any], Any]


class ImportancePlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard is untyped
    """Shows how the importance of each feature developed."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._runs = Runs(context.data_provider)

    def get_plugin_apps(self) -> dict[str, App]:
        """A route for each file there is: no path of a request is ever looked up on disk."""
        files = [path for path in sorted(_STATIC.rglob("*")) if path.suffix in _KINDS]
        return {
            **{f"/{path.relative_to(_STATIC).as_posix()}": _file(path) for path in files},
            "/runs": self._route(self._serve_runs),
            "/run": self._route(self._serve_run),
            "/evidence": self._route(self._serve_evidence),
            "/steps": self._route(self._serve_steps),
        }

    def is_active(self) -> bool:
        """False: TensorBoard itself looks for summaries of `data_plugin_names()`, our own."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The name of the tab and where it starts."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Importance")

    def _route(self, serve: Callable[[Any, Experiment], Any]) -> App:
        @wrappers.Request.application
        def app(request: wrappers.Request) -> Any:
            experiment = Experiment(
                plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
            )
            try:
                return serve(request, experiment)
            except (UnknownRunError, errors.NotFoundError) as error:
                return http_util.Respond(request, str(error), "text/plain", code=404)
            except ValueError as error:
                return http_util.Respond(request, str(error), "text/plain", code=400)

        return app

    def _serve_runs(self, request: wrappers.Request, experiment: Experiment) -> Any:
        return http_util.Respond(request, {"runs": self._runs.index(experiment)}, "application/json")

    def _serve_run(self, request: wrappers.Request, experiment: Experiment) -> Any:
        content = self._runs.whole(experiment, _text(request, "run"))
        return http_util.Respond(request, content, "application/octet-stream")

    def _serve_evidence(self, request: wrappers.Request, experiment: Experiment) -> Any:
        evidence = self._runs.evidence(experiment, _text(request, "run"), _number(request, "epoch"))
        return http_util.Respond(request, evidence, "application/json")

    def _serve_steps(self, request: wrappers.Request, experiment: Experiment) -> Any:
        run, method = _text(request, "run"), _text(request, "method")
        content = self._runs.steps(experiment, run, method, _number(request, "epoch"))
        return http_util.Respond(request, content, "application/octet-stream")


def _file(path: Path) -> App:
    @wrappers.Request.application
    def app(request: wrappers.Request) -> Any:
        return http_util.Respond(request, path.read_bytes(), _KINDS[path.suffix])

    return app


def _text(request: wrappers.Request, name: str) -> str:
    value = request.args.get(name)
    if value is None:
        raise ValueError(f"The request lacks {name!r}.")
    return value


def _number(request: wrappers.Request, name: str) -> int:
    return int(_text(request, name))
