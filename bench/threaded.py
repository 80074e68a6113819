"""gunicorn as `serve` sets it up, for whatever stands beside ours."""

from gunicorn.app.base import BaseApplication


class Threaded(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The same kind of worker, and as many processes and threads; subclasses say what it serves."""

    def __init__(self, *, port: int, processes: int, threads: int) -> None:
        self._options = {
            "bind": [f"127.0.0.1:{port}"],
            "workers": processes,
            "worker_class": "gthread",
            "threads": threads,
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
        }
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up; see its documentation for each name."""
        for name, value in self._options.items():
            self.cfg.set(name, value)
