"""`dst-jax ablate` trains rows of the paper's tables and compares their results."""
