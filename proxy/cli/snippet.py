"""`optout-proxy snippet`: what to put on the page, and what a reviewer asks about it."""

import json
from pathlib import Path
from typing import Any

import click

from proxy import __version__
from proxy.assets import folder
from proxy.cli.options import config_option, configuration_of, in_plain_words


@click.command("snippet")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@in_plain_words
def command(config: Path | None, as_json: bool) -> None:
    """Print the script tag with its hash, the CSP lines and the PCI DSS inventory line."""
    facts = describe(configuration_of(config).current.public_url)
    click.echo(json.dumps(facts, indent=2) if as_json else _text(facts))


def describe(public_url: str) -> dict[str, Any]:
    """Return everything that a page and its reviewer need to know of the script."""
    scripts = folder("static") / "s"
    integrity = json.loads((scripts / "released.json").read_text())[__version__]
    url = f"{public_url.rstrip('/')}/s/{__version__}/choice.js"
    return {
        "version": __version__,
        "url": url,
        "integrity": integrity,
        "bytes": (scripts / __version__ / "choice.js").stat().st_size,
        "tag": (
            f'<script async src="{url}"\n        integrity="{integrity}"\n'
            '        crossorigin="anonymous" data-token="…" data-offer="…"></script>'
        ),
        "csp": [f"script-src '{integrity}'", f"connect-src {public_url}"],
        "inventory": (
            f"choice.js {__version__}; {url}; {integrity}; tells the shop's own proxy whether the "
            "customer accepted or declined the insurance offer; reads its own attributes and the "
            "answer controls; sends the session token, the choice and times to "
            f"{public_url}/v1/choices"
        ),
    }


def _text(facts: dict[str, Any]) -> str:
    csp = "\n".join(f"  {line};" for line in facts["csp"])
    return (
        f"On the page that shows the offer ({facts['bytes']} bytes, never changes):\n\n"
        f"{facts['tag']}\n\n"
        f"Content-Security-Policy needs:\n\n{csp}\n\n"
        f"For the PCI DSS 6.4.3 script inventory:\n\n  {facts['inventory']}"
    )
