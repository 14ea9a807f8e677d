"""The same programs in each library, written as its users write them.

Each module defines ``ROWS``, a `Library` class per row of the tables. A method that a library does
not have is a reason in its cell, never a zero.
"""
