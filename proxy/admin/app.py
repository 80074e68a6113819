"""The dashboard as one application, mounted at /admin of the private listener."""

from typing import Any

from flask import Flask

from proxy import assets
from proxy.admin import (
    access,
    account,
    charts,
    conflicts,
    counts,
    dead_letters,
    deliveries,
    exports,
    overview,
    partners,
    seals,
    sign_in,
    single_sign_on,
    verifying,
    words,
)
from proxy.admin.parts import Parts

NAVIGATION = (
    ("overview.show", "Overview"),
    ("deliveries.listed", "Deliveries"),
    ("dead_letters.listed", "Dead letters"),
    ("conflicts.waiting", "Conflicts"),
    ("seals.show", "Seals"),
    ("exports.show", "Exports"),
    ("partners.listed", "Partners"),
    ("users.listed", "Users"),
    ("activity.listed", "Activity"),
    ("account.show", "Account"),
)
LEAVE = "access.logout"


def create_admin(parts: Parts) -> Flask:
    """Return the dashboard; its addresses are relative to where it is mounted."""
    app = Flask(
        "proxy.admin",
        static_folder=str(assets.folder("static") / "admin"),
        static_url_path="/static",
        template_folder=str(assets.folder("templates")),
    )
    app.extensions["parts"] = parts
    access.install(app, parts)
    words.install(app)
    charts.install(app)
    counts.install(app, parts)
    verifying.install(app, parts)
    app.context_processor(lambda: _around(app))
    app.register_blueprint(sign_in.blueprint(parts))
    app.register_blueprint(single_sign_on.blueprint(parts))
    for pages in account.blueprints(parts):
        app.register_blueprint(pages)
    for room in (overview, deliveries, dead_letters, conflicts, seals, exports, partners):
        app.register_blueprint(room.blueprint(parts))
    return app


def _around(app: Flask) -> dict[str, Any]:
    """Return what the frame of each page shows."""
    return {
        "navigation": [entry for entry in NAVIGATION if entry[0] in app.view_functions],
        "leave": LEAVE if LEAVE in app.view_functions else None,
    }
