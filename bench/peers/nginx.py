"""nginx with njs: the limit of plain proxying, which keeps nothing."""

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.peers.site import Site, path_of
from proxy.keys import signing_keys
from proxy.settings import load

MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")  # where Debian has it


def program() -> str | None:
    """Return where nginx is."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def missing() -> str:
    """Return what is not here, in words; nothing if all is."""
    if program() is None:
        return "nginx is not installed"
    return "" if MODULE.is_file() else f"{MODULE} is not there (Debian: libnginx-mod-http-js)"


def version() -> str:
    """Return what nginx calls itself."""
    told = subprocess.run([str(program()), "-v"], capture_output=True, check=True, text=True)
    return told.stderr.strip().removeprefix("nginx version: ")


def start(site: Site) -> None:
    """Start it with what the deployment's configuration says."""
    settings = load(site.cluster.config, {})
    [partner] = settings.partners.values()
    [upstream] = partner.upstreams.values()
    [key] = signing_keys(settings)
    assert upstream.hmac is not None
    before, _, after = upstream.definition.path.partition("{offer}")
    values = {
        "module": str(MODULE),
        "folder": str(site.cluster.folder),
        "here": str(path_of("forward.js").parent),
        "port": str(site.port),
        "sandbox": str(site.cluster.partners["ACME"].port),
        "kid": key.kid,
        "signing_secret": base64.urlsafe_b64encode(key.secret).decode().rstrip("="),
        "audience": settings.audience,
        "partner": key.partner,
        "api_key": upstream.hmac.api_key.read(),
        "api_secret": upstream.hmac.api_secret.read(),
        "path_before": "/x" + before.replace("{partner_code}", upstream.partner_code),
        "path_after": after,
    }
    text = path_of("nginx.conf").read_text("utf-8")
    config = site.cluster.folder / "nginx.conf"
    config.write_text(re.sub("%([a-z_]+)%", lambda found: values[found[1]], text))
    site.run(str(program()), "-c", str(config), "-e", "stderr", "-g", "daemon off;")
