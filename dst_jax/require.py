"""The check of one field of a frozen value."""

from dst_jax.errors import InputError


def require(condition: bool, owner: object, field: str, expectation: str) -> None:
    """Raises InputError "Type.field=value: expectation." unless `condition` holds.

    Args:
      condition: Whether the field's value fits.
      owner: The value that has the field; its type is named.
      field: Name of the field.
      expectation: What would fit, as the end of a sentence without its full stop.
    """
    if not condition:
        value = getattr(owner, field)
        name = type(owner).__name__
        raise InputError(f"{name}.{field}={value!r}: {expectation}.")
