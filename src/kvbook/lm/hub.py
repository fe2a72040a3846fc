"""The model hub: whether it answers, and what to say when it does not."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from kvbook.errors import KvbookError


def hub_answers() -> bool:
    """Whether the hub can be reached; without this, each missing file is retried for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def fetching(what: str, error: type[KvbookError], instead: str) -> Iterator[None]:
    """Whatever the hub's client makes of a missing network or file, as an error that helps.

    Parameters
    ----------
    what : str
        What is fetched in the block.
    error : type
        To raise in place of any other.
    instead : str
        What the user can do.
    """
    try:
        yield
    except Exception as reason:
        why = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        raise error(f"cannot fetch {what} from the hub ({why}): {instead}") from None
