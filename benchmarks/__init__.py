"""jaxspike against other libraries (`compare`), its engine against `jax.lax.scan` (`engine`)."""
