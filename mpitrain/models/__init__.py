"""Models: mathematics on arrays, NumPy or CuPy; they know no rank and no file."""
