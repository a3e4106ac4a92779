"""What a traced program computes."""

import jax


def convolutions(jaxpr):
    """The convolutions of a program, those of inner programs included.

    Those with groups are correlations, which may be computed otherwise too.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            if equation.params["feature_group_count"] == 1:
                yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from convolutions(inner)


def multiply_adds(jaxpr):
    """Multiply-adds of a program's convolutions."""
    total = 0
    for equation in convolutions(jaxpr):
        kernel, (result,) = equation.invars[1].aval, equation.outvars
        # [h, w, inputs of a group, outputs]
        total += result.aval.size * kernel.size // kernel.shape[-1]
    return total
