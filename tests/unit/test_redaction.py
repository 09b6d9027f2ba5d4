"""No credential of an address reaches a message."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.source_address import parse_address
from brats_ml.config import parse
from brats_ml.errors import BratsError, ConfigError, ServiceError, StorageError
from brats_ml.orchestration.runs import outcomes
from brats_ml.redaction import has_credentials, redacted

TOKENS = st.text(string.ascii_letters + string.digits + "-_.~%+=", min_size=1, max_size=30).map(
    lambda text: f"Q{text}Z"
)
KEYS = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=40).map(lambda text: f"Q{text}Z")
AROUND = st.sampled_from([("", ""), ("git said '", "': no"), ("clone ", " failed\n"), ('{"url": "', '"}')])


@given(around=AROUND, scheme=st.sampled_from(["http", "https", "ssh", "s3", "postgresql+psycopg"]),
       user=st.sampled_from(["", "oauth2", "jo"]), token=TOKENS,
       host=st.sampled_from(["host/x.git", "host:8080/a/b@v1", "host"]))  # fmt: skip
def test_a_password_in_an_address_is_removed_wherever_the_address_is(
    around: tuple[str, str], scheme: str, user: str, token: str, host: str
) -> None:
    before, after = around

    assert redacted(f"{before}{scheme}://{user}:{token}@{host}{after}") == f"{before}{scheme}://{host}{after}"
    assert has_credentials(f"{scheme}://{user}:{token}@{host}")


@given(key=KEYS)
def test_a_key_with_slashes_is_removed(key: str) -> None:
    address = f"s3://AKIA:x{key}@bucket/cohort"

    assert redacted(f"{address} refuses") == "s3://bucket/cohort refuses"
    assert has_credentials(address)


@given(token=TOKENS, name=st.sampled_from(["token", "private_token", "access_token", "X-Amz-Signature", "api_key"]))
def test_a_secret_in_a_query_is_removed(token: str, name: str) -> None:
    address = f"https://host/x?ref=main&{name}={token}&page=2"

    assert redacted(address) == f"https://host/x?ref=main&{name}=***&page=2"
    assert has_credentials(address)


@pytest.mark.parametrize(
    "text",
    ["https://host:8080/team/repo#data@v1", "dvc:git@host:team/repo.git", "ssh://git@host/x", "s3://bucket/a@b",
     "mail a@b.example about host:5000", "C:/x@y", "http://127.0.0.1:5000/#/experiments/1/runs/2"],
)  # fmt: skip
def test_an_address_without_credentials_has_none(text: str) -> None:
    assert not has_credentials(text)
    assert redacted(text).replace("ssh://", "ssh://git@") == text


@given(token=TOKENS)
def test_a_token_in_the_source_is_refused_and_not_repeated(token: str) -> None:
    source = f"dvc:https://{token}@host/team/repo#data@v1"

    with pytest.raises(ValueError, match="must not contain a password or a token") as caught:
        parse_address(source)
    assert token not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        parse({"acquire": {"source": source}})
    assert token not in str(refused.value)


@pytest.mark.parametrize("kind", [ServiceError, StorageError, BratsError])
def test_no_sentence_of_ours_repeats_a_password(kind: type[BratsError]) -> None:
    assert str(kind("`git clone https://jo:SECRET@host/x` ended")) == "`git clone https://host/x` ended"


def test_the_outcome_of_a_defect_repeats_no_password() -> None:
    found = outcomes.failure(ConnectionError("no route to http://jo:SECRET@host:5000/api"))

    assert found.sentence == "ConnectionError: no route to http://host:5000/api"


def test_the_traceback_of_a_defect_repeats_no_password() -> None:
    address = "postgresql://jo:SECRET@host/mlflow"
    try:
        try:
            raise ConnectionError(address)
        except ConnectionError as cause:
            raise KeyError(address) from cause
    except KeyError as error:
        said = outcomes.message(error)

    assert said.startswith("Traceback")
    assert said.count("postgresql://host/mlflow") == 2
    assert "SECRET" not in said
