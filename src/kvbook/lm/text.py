"""What a tokenizer can read."""

from kvbook.errors import ParameterError


def check_text(text, name: str) -> str:
    """The same text, if it is one.

    Parameters
    ----------
    name : str
        What the text is, for the message.

    Raises
    ------
    ParameterError
        It is no ``str``, or holds half of a surrogate pair, which is no character: no file in
        UTF-8 can hold it.
    """
    if not isinstance(text, str):
        raise ParameterError(f"{name} is {type(text).__name__}, {str(text)[:40]!a}: give a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise ParameterError(
            f"{name} has half a character, {half!a} at position {error.start}: it was cut within a "
            "surrogate pair, or read with the wrong encoding; give whole characters"
        ) from None
    return text
