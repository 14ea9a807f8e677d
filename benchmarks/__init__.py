"""jaxspike against other libraries (`compare`), and its engine against `jax.lax.scan` (`engine`)."""
