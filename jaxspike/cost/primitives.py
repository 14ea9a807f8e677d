"""The primitives that compute, and how many operations each performs."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# one operation for each element of the output
ELEMENTWISE = _names("""
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp clz cos cosh div eq
    erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max
    min mul ne neg nextafter not or population_count pow rem round rsqrt shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh sqrt square sub tan tanh xor
""")

# one for each element of the input
REDUCTIONS = _names("""
    argmax argmin cumlogsumexp cummax cummin cumprod cumsum reduce_and reduce_max reduce_min
    reduce_or reduce_prod reduce_sum reduce_xor
""")

# one for each element of the window of each element of the output
WINDOWS = _names("reduce_window_max reduce_window_min reduce_window_sum")

# none: they place, copy, choose or convert what others computed
FREE = _names("""
    bitcast_convert_type broadcast_in_dim concatenate convert_element_type copy copy_p device_put
    dynamic_slice dynamic_update_slice expand_dims gather imag iota name optimization_barrier pad
    pvary real reduce_precision reshape reshard rev scatter select_n sharding_constraint slice split
    squeeze stop_gradient tile transpose
""")
