"""A page from a template, with what every page needs.

Belongs here: the environment of the templates. Does not belong here: the values of any one page. The templates escape
every value.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import cast

import jinja2
from fastapi import Request, Response
from starlette.templating import Jinja2Templates

from hunter_pipeline.readers.shown import domain_in_letters, turns_shown, without_turns
from hunter_pipeline.vocabulary import BADGES, STAGES, provider_label
from hunter_pipeline.web import wording
from hunter_pipeline.web.services import Services

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # A name may hold marks that make what follows read backwards; a page shows it without them.
    finalize=lambda value: without_turns(value) if type(value) is str else value,
    # They do not change while the server runs.
    auto_reload=False,
)
_environment.globals.update(badges=BADGES, counted=wording.counted, stage_titles=STAGES)
# Filters and no functions: a page calls them a thousand times, and Jinja looks at each function that it calls.
_environment.filters.update(
    pretty=lambda value: turns_shown(json.dumps(value, indent=2, ensure_ascii=False)),
    provider_label=provider_label,
    moment=wording.moment,
    distance=wording.distance,
    expiry=wording.expiry,
    expires_soon=wording.expires_soon,
    money=wording.money,
    deal=wording.deal,
    in_letters=domain_in_letters,
)
_chips = _environment.get_template("chips.html").module
for _name in ("referral_badge", "score_bar", "segment_chip", "category_chip"):
    _environment.filters[_name] = lru_cache(maxsize=1000)(getattr(_chips, _name))
_templates = Jinja2Templates(env=_environment)


def render(request: Request, name: str, status: int = 200, **values: object) -> Response:
    """A page from a template.

    :param name: file name of the template.
    :param values: what this page shows.
    """
    services = cast(Services, request.app.state.services)
    session = getattr(request.state, "session", None)
    shared = {
        "now": services.clock(),
        "csrf": session.csrf if session else "",
        "signed_in": session is not None,
        "dagster_ui": services.dagster_ui,
        "sync_enabled": services.settings.partner_center_enabled,
        "path": request.url.path,
    }
    return _templates.TemplateResponse(request, name, {**shared, **values}, status)
