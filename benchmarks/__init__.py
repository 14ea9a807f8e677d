"""jaxspike beside other libraries (`python -m benchmarks.compare`), and its engine (`engine.py`)."""
