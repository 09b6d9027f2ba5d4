"""Pseudonyms: the same patient or study always gets the same name, and nobody without the key finds who it is."""

import hmac
from hashlib import sha256

LENGTH = 12


def pseudonym(identifier: str, key: bytes, *, kind: str) -> str:
    """Return a name for an identifier by a keyed hash, such as `study-3f0a9c41d2b7`.

    Args:
        identifier: A unique identifier of DICOM or a patient id.
        key: The secret key.
        kind: What it names. Equal identifiers of two kinds get unrelated names.

    Source:
        HMAC with SHA-256, RFC 2104 and FIPS 180-4.
    """
    return f"{kind}-{hmac.new(key, f'{kind}:{identifier}'.encode(), sha256).hexdigest()[:LENGTH]}"
