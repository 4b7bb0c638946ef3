"""What TensorBoard loads at its start. An error here would take all of TensorBoard down: there is little here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorboard.plugins.base_plugin import FrontendMetadata, TBPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tensorboard.plugins.base_plugin import TBContext

    from traceanalyzer.tensorboard.routes import Routes

TAB = "Trace Analyzer"


class TraceAnalyzerPlugin(TBPlugin):  # type: ignore[misc]  # tensorboard carries no types
    """The tab; everything else waits until it is asked for."""

    plugin_name = "traceanalyzer"

    def __init__(self, context: TBContext) -> None:
        super().__init__(context)
        self._context = context
        self._routes: Routes | None = None

    def get_plugin_apps(self) -> Mapping[str, Callable[..., Any]]:
        """Paths below data/plugin/traceanalyzer and what answers them."""
        return self._answers().apps()

    def is_active(self) -> bool:
        """Whether any trace was found so far; asked at every listing of plugins, so never a long look."""
        return self._answers().logdir.has_any()

    def frontend_metadata(self) -> FrontendMetadata:
        """An ES module in a frame; it reloads by itself."""
        return FrontendMetadata(es_module_path="/index.js", tab_name=TAB, disable_reload=True)

    def _answers(self) -> Routes:
        if self._routes is None:
            from traceanalyzer.tensorboard.routes import Routes

            flags = self._context.flags
            self._routes = Routes(self._context.logdir, getattr(flags, "logdir_spec", None))
        return self._routes
