"""The dashboard as one application, mounted at /admin of the private listener."""

from flask import Flask

from proxy import assets
from proxy.admin.parts import Parts


def create_admin(parts: Parts) -> Flask:
    """Return the dashboard; its addresses are relative to where it is mounted."""
    app = Flask(
        "proxy.admin",
        static_folder=str(assets.folder("static") / "admin"),
        static_url_path="/static",
        template_folder=str(assets.folder("templates")),
    )
    app.extensions["parts"] = parts
    return app
