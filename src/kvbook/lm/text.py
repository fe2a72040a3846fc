"""What a tokenizer can read, and where a text's tokens may be parted."""

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


def split_ids(
    tokenizer, text: str, at: int, *, special: bool = False
) -> tuple[list[int], list[int]]:
    """A text's tokens in two parts: those that end before a character of the text, and the others.
    The two together are the tokens of the whole text.

    Parameters
    ----------
    at : int
        The index of this character in the text. A token that has this character and earlier ones
        is in the second part.
    special : bool
        Whether the tokenizer adds its special tokens, such as one for the beginning.

    Raises
    ------
    ParameterError
        A tokenizer that does not say which token is where.
    """
    if not tokenizer.is_fast:
        raise ParameterError(
            f"{type(tokenizer).__name__} does not say where its tokens are in a text: use the fast "
            "tokenizer of this model"
        )
    coded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    ids, places = coded.input_ids, coded.offset_mapping
    first = next((i for i, (_, end) in enumerate(places) if end > at), len(ids))
    return ids[:first], ids[first:]
