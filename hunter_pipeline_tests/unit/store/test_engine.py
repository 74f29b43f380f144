"""How a database address is read and shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, make_url

from hunter_pipeline.store.engine import DatabaseUrls, describe, normalize_url


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_postgresql_scheme_names_the_driver_that_is_installed(scheme: str):
    assert normalize_url(f" {scheme}://u:p@h:5433/d?sslmode=require\n") == (
        "postgresql+psycopg2://u:p@h:5433/d?sslmode=require"
    )


def test_an_address_without_a_database_means_hunter():
    assert make_url(normalize_url("postgres://h")).database == "hunter"


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql+pymysql://u:geheim@h/d", "redshift+psycopg2://u:geheim@h/d"])
def test_another_kind_of_database_is_refused_with_the_setting_named(url: str):
    with pytest.raises(ValueError, match=r"^HUNTER_DATABASE_URL must name a PostgreSQL server, not \w+\.") as caught:
        normalize_url(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "host=h dbname=d password=geheim", "postgresql://u:geheim@h:port/d"])
def test_what_is_no_address_is_refused_without_showing_it(url: str):
    with pytest.raises(ValueError, match=r"^HUNTER_DAGSTER_DATABASE_URL is not a database address") as caught:
        normalize_url(url, "HUNTER_DAGSTER_DATABASE_URL")
    assert "geheim" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_user_and_password_survive_whatever_their_characters(user: str, password: str):
    url = URL.create("postgresql", user, password, "h", 5432, "d").render_as_string(hide_password=False)
    read = make_url(normalize_url(url))
    assert (read.username, read.password) == (user, password)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:geheim@db.example.com/x", "db.example.com:5432/x"),
        ("postgresql://u:geheim@db.example.com:6000/x", "db.example.com:6000/x"),
        ("postgresql://u:geheim@/x?host=/run/pg&port=5432", "/run/pg/x"),
        ("postgresql://u:geheim@/x?host=a:1&host=b:2", "a:1,b:2/x"),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str):
    assert describe(url) == shown


def test_addresses_are_printed_without_the_password():
    urls = DatabaseUrls("postgresql+psycopg2://u:geheim@h/a", "postgresql+psycopg2://u:geheim@h/b")
    assert "geheim" not in repr(urls)
