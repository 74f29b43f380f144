"""Unknown values of a filter are refused with the list of valid ones, and case does not matter."""

import pytest
from starlette.testclient import TestClient

pytestmark = pytest.mark.xdist_group("web")


@pytest.mark.parametrize(
    ("parameter", "wrong", "valid"),
    [
        ("segment", "Foo", "Existing, Migration, Cold, Skip"),
        ("category", "P7", "P6, unscored"),
        ("provider", "Hotmail", "M365, Google"),
        ("referral_type", "x", "co-sell, marketplace, solution-provider, none"),
        ("sort", "nothing", "rank, "),
    ],
)
def test_an_unknown_value_is_refused_with_the_list_of_valid_ones(
    client: TestClient, parameter: str, wrong: str, valid: str
):
    answer = client.get("/api/leads", params={parameter: wrong})
    assert answer.status_code == 422
    assert valid in answer.json()["detail"][0]["msg"]


def test_case_does_not_matter(client: TestClient):
    expected = client.get("/api/leads", params={"segment": "Existing", "referral_type": "co-sell"}).json()
    assert expected["total"]
    assert client.get("/api/leads", params={"segment": "EXISTING", "referral_type": "Co-Sell"}).json() == expected
