"""Array functions without parameters: crops, convolutions, correlations, anchors."""
