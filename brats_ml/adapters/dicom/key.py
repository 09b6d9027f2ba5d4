"""The secret key of pseudonyms."""

from pathlib import Path

from brats_ml import environment
from brats_ml.errors import ConfigError

LEAST_BYTES = 16


def pseudonym_key(checkout: Path) -> bytes:
    """Return the key.

    Args:
        checkout: The key must not be in it, since what is there may be shared.

    Raises:
        ConfigError: There is no key, it is too short, or it is in the checkout.
    """
    name = environment.PSEUDONYM_KEY_FILE.name
    stated = environment.PSEUDONYM_KEY_FILE.read()
    remedy = f"make one by `head -c 32 /dev/urandom > FILE`, outside the checkout, and set {name} to its path"
    if not stated:
        raise ConfigError(f"studies need a secret key for their names: {remedy}", key=name)
    path = Path(stated).resolve()
    if checkout.resolve() in path.parents:
        raise ConfigError(f"the key in {name} is inside the checkout: move it elsewhere", key=name)
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the key in {name} cannot be read ({error.strerror}): {remedy}", key=name) from error
    if len(key) < LEAST_BYTES:
        raise ConfigError(f"the key in {name} has fewer than {LEAST_BYTES} bytes: {remedy}", key=name)
    return key
