"""Train a spiking network on handwritten digits: ``python -m jaxspike.demo``.

Nothing in the library imports this package. The code to copy from is in ``train.py``.
"""

from .data import digits as digits, mnist as mnist
