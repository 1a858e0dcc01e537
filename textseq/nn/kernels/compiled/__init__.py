"""One text at once in a loop compiled by numba (extra ``fast``): layout of the weights, and the loop."""
