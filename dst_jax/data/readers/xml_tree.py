"""Reads XML files as trees; it refuses document types and entities, fetches nothing."""

import os
import pathlib
from typing import NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element as Element
from xml.parsers import expat

from dst_jax.data.image_file import require_file
from dst_jax.data.readers.tables import decode_text
from dst_jax.errors import InputError

_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


class _Forbidden(Exception):
    """Signals that the file defines a document type or an entity."""


def _forbid(*_: object) -> NoReturn:
    raise _Forbidden


def read_xml(path: str | os.PathLike[str]) -> Element:
    """Returns the root element of an XML file.

    A document type, and with it every definition of an entity, is refused: expanding
    one can fill the memory, or read another file.

    Raises:
      InputError: If the file is missing, is no XML file or has a document type.
    """
    require_file(path, "annotation")
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _forbid
    parser.EntityDeclHandler = _forbid
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); restore it or correct the path."
        ) from error
    try:
        parser.Parse(data, True)
    except _Forbidden:
        raise InputError(
            f"{path} defines a document type or entities; remove the <!DOCTYPE> part."
        ) from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        if getattr(error, "code", None) == _INVALID_TOKEN:
            decode_text(path, data)  # it names another encoding
        raise InputError(f"{path} is no XML file ({error}); restore it.") from None
    return builder.close()
