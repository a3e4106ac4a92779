"""Read-outs of a network, one file per family; what they answer; who builds them."""
