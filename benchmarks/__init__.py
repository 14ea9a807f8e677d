"""jaxspike beside other libraries (`compare`), and its engine beside `jax.lax.scan` (`engine`)."""
