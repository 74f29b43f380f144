"""The API against its own OpenAPI document: no 500, no answer that is not in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from sqlalchemy import Engine

from hunter_pipeline.settings import Settings
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.pipeline_runs import NOW
from hunter_pipeline_tests.web.conftest import TOKEN
from hunter_pipeline_tests.web.serving import StubDagster, serving

BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.xdist_group("web")


@pytest.fixture(scope="module")
def dagster_url() -> Iterator[str]:
    with serving(StubDagster().app) as address:
        yield address


@pytest.fixture(scope="module")
def api(filled_engine: Engine, dagster_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The document of one application; reading it takes a second."""
    settings = Settings(
        _env_file=None,
        home=tmp_path_factory.mktemp("api"),
        partner_center_enabled=True,
        dagster_url=dagster_url,
        web_token=TOKEN,
    )
    app = create_app(settings, filled_engine, clock=lambda: NOW, wrong_token_seconds=0)
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=BEARER)


OPERATIONS = [
    ("POST", "/api/referrals/sync"),
    ("GET", "/api/referrals/sync/{run_id}"),
    ("GET", "/api/leads"),
    ("GET", "/api/leads/{domain}"),
    ("GET", "/api/referrals"),
    ("GET", "/api/referrals/queue"),
    ("GET", "/api/referrals/{referral_id}"),
    ("GET", "/api/referrals/{referral_id}/lineage"),
    ("POST", "/ingest/partnercenter"),
    ("GET", "/healthz"),
    ("GET", "/healthz/live"),
    ("GET", "/healthz/ready"),
    ("GET", "/metrics"),
]


FIXED = ("/healthz", "/metrics")
"""Beginnings of the paths that take no parameters."""

NOT_ASKED = [negative_data_rejection, positive_data_acceptance]
"""A cursor of the right shape may still be refused, and a text that looks like no domain is still looked for."""


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if not each[1].startswith(FIXED)])
def test_every_answer_is_one_that_the_document_tells_of(api: Any, method: str, path: str, mode: GenerationMode):
    operation = api[path][method]

    @settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=BEARER, excluded_checks=NOT_ASKED)

    check()


@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if each[1].startswith(FIXED)])
def test_an_answer_without_parameters_is_as_the_document_tells(api: Any, method: str, path: str):
    api[path][method].Case().call_and_validate(headers=BEARER, excluded_checks=NOT_ASKED)


def test_the_document_names_every_way_in_and_no_page(make_test_app: Callable[..., FastAPI]):
    document = make_test_app(partner_center_write_enabled=True).openapi()
    ways = {"HTTPBearer", "APIKeyCookie"}
    assert set(document["components"]["securitySchemes"]) == ways
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {name for scheme in operation.get("security", ()) for name in scheme}
            assert named == (ways if path.startswith("/api/") else set()), path
    document = make_test_app().openapi()
    found = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    assert sorted(found) == sorted(OPERATIONS)
