"""Errors of S3 and the network as errors of ours; only passing ones may be tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

from brats_ml.adapters.sources.base import changed
from brats_ml.errors import BratsError, ServiceError, SourceError
from brats_ml.redaction import redacted

DENIED = ("AccessDenied", "AllAccessDisabled", "Forbidden", "403")
UNKNOWN_KEYS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "AuthorizationHeaderMalformed",
)
CHANGED = ("NoSuchKey", "PreconditionFailed", "InvalidRange", "404", "412", "416")
PASSING = ("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError")


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn an error of boto3 inside the context into one of ours.

    Raises:
        SourceError: A person has to act: wrong credentials, bucket or address, missing permission.
        ServiceError: Another try may succeed: no answer, or a temporary refusal.
    """
    try:
        from botocore import exceptions as boto  # an extra
    except ImportError as error:
        raise needs_boto3(where) from error
    try:
        yield
    except BratsError:
        raise
    except boto.ClientError as error:
        raise _answered(where, error) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise SourceError(
            where,
            f"no usable credentials ({_message(error)}); "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        ) from error
    except (boto.ProxyConnectionError, boto.SSLError) as error:
        raise SourceError(
            where, f"a proxy or certificate blocks the connection ({_message(error)}); correct it"
        ) from error
    except (boto.HTTPClientError, boto.ConnectionError) as error:
        raise ServiceError(
            f"{where}: S3 does not answer ({_message(error)}); check AWS_ENDPOINT_URL and the network"
        ) from error
    except (boto.BotoCoreError, ValueError) as error:
        raise SourceError(where, f"the request to S3 failed ({_message(error)}); correct the AWS settings") from error


def needs_boto3(where: str) -> SourceError:
    """Return the error of an environment without boto3."""
    return SourceError(where, "needs boto3: install brats-ml[s3]")


def _message(error: Exception) -> str:
    return redacted(str(error))


def _answered(where: str, error: Exception) -> BratsError:
    response = getattr(error, "response", {})
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return SourceError(where, "there is no such bucket; correct the address, or AWS_ENDPOINT_URL")
    if code in UNKNOWN_KEYS:
        return SourceError(where, f"S3 does not accept the credentials ({code}); renew or correct them")
    if code in DENIED:
        return SourceError(where, "access is denied to these credentials; they need s3:ListBucket and s3:GetObject")
    if status >= 500 or code in PASSING:
        return ServiceError(f"{where}: S3 refuses temporarily ({code or status}); try again later")
    if code in CHANGED:
        return changed(where)
    return SourceError(
        where, f"S3 refuses ({code or status}: {redacted(str(error))}); correct the address or the AWS settings"
    )
